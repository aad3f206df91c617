"""How much of HL7's v2-to-FHIR guide a mapping set does: its tables read, compared row by row, and told as a ledger.

A row is covered by what our checked tables do (`facts`), not by a list that somebody keeps; what is not covered needs
a reason (`reasons`), and a reason that is not true is an error. No message is looked at here.
"""
