-- The journal: append-only, written by one thread of one process (FOLD 21). Row `seq` follows commit order without gaps.
CREATE TABLE entry (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('hl7v2', 'fhir', 'command', 'timer', 'attempt', 'answer', 'activation', 'retry')),
    feed TEXT NOT NULL,
    received_at INTEGER NOT NULL,         -- µs
    partition INTEGER NOT NULL CHECK (partition BETWEEN 0 AND 63),
    key TEXT NOT NULL,                    -- MSH-10, Idempotency-Key, …; '' when the sender gave none
    type TEXT NOT NULL,                   -- ADT^A01, Patient, task.complete
    refused TEXT NOT NULL,                -- code of the refusal, '' when accepted
    duplicate_of INTEGER NOT NULL CHECK (duplicate_of BETWEEN 0 AND seq - 1), -- 0 on an original
    conflicting INTEGER NOT NULL CHECK (conflicting IN (0, 1)), -- the same key came before with another body
    codec INTEGER NOT NULL,               -- envelope (FOLD 23): 0 is the body as it came
    key_id INTEGER NOT NULL,              -- envelope: 0 is not encrypted
    length INTEGER NOT NULL,              -- bytes of the body as it came
    hash BLOB NOT NULL CHECK (length(hash) = 16), -- BLAKE2b-128 of the body as it came
    body BLOB,                            -- NULL on a duplicate: its original holds the same bytes
    CHECK ((body IS NULL) = (duplicate_of > 0))
) STRICT;
-- One original for what came under one key with one body (I2). Finding by key begins here too.
CREATE UNIQUE INDEX entry_original ON entry (key, feed, hash, refused) WHERE duplicate_of = 0;
CREATE INDEX entry_duplicate ON entry (duplicate_of) WHERE duplicate_of > 0;
CREATE TABLE feed_count (                 -- moved by the trigger, so with the entries that it counts
    feed TEXT PRIMARY KEY,
    received INTEGER NOT NULL,
    duplicate INTEGER NOT NULL,
    refused INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER entry_counted AFTER INSERT ON entry BEGIN
    INSERT INTO feed_count (feed, received, duplicate, refused)
    VALUES (new.feed, 1, new.duplicate_of > 0, new.duplicate_of = 0 AND new.refused <> '')
    ON CONFLICT (feed) DO UPDATE SET
        received = received + 1, duplicate = duplicate + excluded.duplicate, refused = refused + excluded.refused;
END;
