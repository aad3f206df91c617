"""The journal and the state on SQLite; no rule of the record stands here."""
