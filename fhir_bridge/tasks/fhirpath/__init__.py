"""FHIRPath for rules: a checked subset compiled to Python, and fhirpathpy for the rest (FOLD 14-15).

nodes       what an expression is, as values          model      R4 elements and their types
read        text → nodes, checked                     evaluate   nodes → Python functions
scope       what an expression is evaluated over      interpret  expressions outside the subset, on fhirpathpy
expression  a rule's expression, ready to evaluate
"""
