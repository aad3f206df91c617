"""Revisions of the schema, one file each, oldest first. None of them touches rows of folded state (FOLD 12)."""
