"""What every web face shares (API, FHIR facade, pages, feeds over HTTP), below all of them.

ports    what the gateway needs from outside         faults   one error, in the shape of its protocol
rights   who calls, and the right of each route      reading  patients read: decided, audited, named
submit   an entry handed to the journal, its outcome paging   cursors      tally  the numbers of I2
trail    audit events of one request: handed over, and waited for before its answer leaves
"""
