-- The journal on PostgreSQL: append-only, several writers (FOLD 22). Within a partition rows become visible in the order of seq.
CREATE SEQUENCE entry_seq;
CREATE TABLE entry (
    seq bigint PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('hl7v2', 'fhir', 'command', 'timer', 'attempt', 'answer', 'activation', 'retry')),
    feed text NOT NULL,
    received_at bigint NOT NULL,           -- µs
    partition smallint NOT NULL CHECK (partition BETWEEN 0 AND 63),
    key bytea NOT NULL,                    -- MSH-10, Idempotency-Key, … in UTF-8; '' when the sender gave none. Bytes, since text has no NUL
    type bytea NOT NULL,                   -- ADT^A01, Patient, task.complete
    refused text NOT NULL,                 -- code of the refusal, '' when accepted
    duplicate_of bigint NOT NULL CHECK (duplicate_of BETWEEN 0 AND seq - 1), -- 0 on an original
    conflicting smallint NOT NULL CHECK (conflicting IN (0, 1)), -- the same key came before with another body
    everyone smallint NOT NULL CHECK (everyone IN (0, 1)), -- concerns more than one patient: applied in the journal's order in every partition
    codec smallint NOT NULL,               -- envelope (FOLD 23): 0 is the body as it came
    key_id integer NOT NULL,               -- envelope: 0 is not encrypted
    length integer NOT NULL,               -- bytes of the body as it came
    key_hash bytea NOT NULL CHECK (length(key_hash) = 16), -- BLAKE2b-128 of the key: an index takes no key of any length
    hash bytea NOT NULL CHECK (length(hash) = 16), -- BLAKE2b-128 of the body as it came
    body bytea,                            -- NULL on a duplicate: its original holds the same bytes
    CHECK ((body IS NULL) = (duplicate_of > 0))
);
ALTER TABLE entry ALTER COLUMN body SET STORAGE EXTERNAL; -- found at once; compression is the envelope's
-- One original for what came under one key with one body (I2). Finding by key begins here too.
CREATE UNIQUE INDEX entry_original ON entry (key_hash, feed, hash, refused) WHERE duplicate_of = 0;
CREATE INDEX entry_duplicate ON entry (duplicate_of) WHERE duplicate_of > 0;
CREATE INDEX entry_partition ON entry (partition, seq);
CREATE INDEX entry_everyone ON entry (seq) WHERE everyone = 1;
CREATE INDEX entry_waited_for ON entry (partition, seq) WHERE kind IN ('command', 'fhir');
CREATE TABLE feed_count (                  -- moved in the transaction of the entries that it counts; summed when read
    feed text NOT NULL,
    partition smallint NOT NULL,           -- the lowest of the append: it has locked that, so no two appends wait for one row
    received bigint NOT NULL,
    duplicate bigint NOT NULL,
    refused bigint NOT NULL,
    PRIMARY KEY (feed, partition)
);
CREATE TABLE worker (                      -- who applies entries, and is alive until then by the database's clock
    owner text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE TABLE lease (                       -- who applies a partition; the token is another one each time it is taken
    partition smallint PRIMARY KEY CHECK (partition BETWEEN 0 AND 63),
    owner text NOT NULL,
    token bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
INSERT INTO lease SELECT n, '', 0, '-infinity' FROM generate_series(0, 63) n;
