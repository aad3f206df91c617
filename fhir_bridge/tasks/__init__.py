"""Obligations towards patients: rules over the record, their clocks, and what becomes of a task.

rules      what should exist, judged over a record      load       rules from YAML, checked
durations  24 h, 2 bd, before event - 3 d               calendar   business days, holidays, zones
machine    the states of a task                         catalogue  education material, and what a finished task writes
interlock  may this be sent now                         fhirpath   the language of rules
"""
