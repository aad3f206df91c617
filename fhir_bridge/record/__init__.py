"""The patient's record: pure values and functions. Nothing here stores, reads a clock or knows a wire format.

assertion  what an entry asserts                    clocks   which of two statements is the newer one
merge      registers: last writer wins for each     episode  clocked facts, and the status that follows from them
           element and source                       identity who is who: link edges and their survivor
replaced   visits and accounts that were merged   labels   sensitivity
project    a record as FHIR R4                      task_resource  an obligation as FHIR R4 Task
"""
