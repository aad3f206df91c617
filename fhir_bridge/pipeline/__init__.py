"""The way of a message: receive, translate, reconcile, oblige, write back.

Engines come in through ports.py and state.py.

receive    the door: what becomes of bytes before they are stored     worker      batches, transactions, the cursor
translate  an entry becomes assertions                                apply       one entry becomes state
reconcile  assertions become the patient's record                     commands    what people do
oblige     the record becomes obligations                             deliveries  attempts and answers
write_back the outbox, on its way to the EHR                          timers      what came due
"""
