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
-- The state: a fold over the journal, written by the workers alone, each under the leases of its partitions. Tables and
-- columns are those of ../schema_state.sql, whose comments say what they mean; a test holds the two together. Text is
-- ordered by its bytes, as on SQLite, whatever the database's own collation. Counters are kept by partition, so that two
-- workers never wait for one row, and summed where they are read.
CREATE TABLE cursor (
    partition bigint PRIMARY KEY,
    seq bigint NOT NULL,
    now bigint NOT NULL
);
CREATE TABLE outcome (
    seq bigint PRIMARY KEY,
    outcome text COLLATE "C" NOT NULL CHECK (outcome IN ('applied', 'ignored', 'parked', 'refused')),
    feed text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    code text COLLATE "C",
    location text COLLATE "C",
    sets text COLLATE "C",
    patient text COLLATE "C",
    result text COLLATE "C"
);
CREATE INDEX outcome_parked ON outcome (seq) WHERE outcome = 'parked';
CREATE INDEX outcome_parked_patient ON outcome (patient) WHERE outcome = 'parked';
CREATE TABLE counter_share (
    partition bigint NOT NULL, feed text COLLATE "C" NOT NULL, kind text COLLATE "C" NOT NULL, outcome text COLLATE "C" NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (partition, feed, kind, outcome)
);
CREATE VIEW counter AS SELECT feed, kind, outcome, sum(n)::bigint AS n FROM counter_share GROUP BY feed, kind, outcome;
CREATE TABLE active_set (kind text COLLATE "C" PRIMARY KEY, hash text COLLATE "C" NOT NULL, seq bigint NOT NULL);
CREATE TABLE part (
    id text COLLATE "C" PRIMARY KEY,
    type text COLLATE "C" NOT NULL,
    patient text COLLATE "C",
    live_until bigint,
    doc bytea NOT NULL
);
CREATE INDEX part_patient ON part (patient, type, live_until NULLS FIRST) WHERE patient IS NOT NULL;
CREATE INDEX part_communication ON part (live_until NULLS FIRST, id) WHERE type = 'Communication';
CREATE TABLE patient (
    id text COLLATE "C" PRIMARY KEY,
    root text COLLATE "C" NOT NULL,
    family text COLLATE "C", given text COLLATE "C",
    birth_date text COLLATE "C",
    gender text COLLATE "C",
    deceased bigint NOT NULL DEFAULT 0,
    test bigint NOT NULL DEFAULT 0,
    partition bigint
);
CREATE INDEX patient_root ON patient (root);
CREATE INDEX patient_name ON patient (family, coalesce(given, ''), id);
CREATE INDEX patient_birth ON patient (birth_date, coalesce(family, ''), id);
CREATE TABLE identifier (value text COLLATE "C" NOT NULL, system text COLLATE "C" NOT NULL, type text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, PRIMARY KEY (value, system, type, id));
CREATE INDEX identifier_id ON identifier (id);
CREATE TABLE link (retired text COLLATE "C" NOT NULL, survivor text COLLATE "C" NOT NULL, source text COLLATE "C" NOT NULL, clock bigint NOT NULL, seq bigint NOT NULL, PRIMARY KEY (retired, source));
CREATE TABLE task (
    id text COLLATE "C" PRIMARY KEY,
    grp text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    patient text COLLATE "C" NOT NULL,
    root text COLLATE "C" NOT NULL,
    rule text COLLATE "C" NOT NULL,
    rule_version bigint NOT NULL,
    scope_type text COLLATE "C" NOT NULL,
    scope_id text COLLATE "C" NOT NULL,
    anchor text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    business_status text COLLATE "C",
    queue text COLLATE "C" NOT NULL,
    owner text COLLATE "C",
    priority text COLLATE "C" NOT NULL,
    start bigint,
    due bigint,
    opened_at bigint NOT NULL,
    closed_at bigint,
    open bigint NOT NULL,
    settled_by text COLLATE "C",
    version bigint NOT NULL,
    doc bytea NOT NULL
);
CREATE INDEX task_scope ON task (scope_id, rule);
CREATE INDEX task_root ON task (root, open, due);
CREATE INDEX task_work ON task (open, due, id);
CREATE INDEX task_queue ON task (queue, open, due, id);
CREATE INDEX task_rule ON task (rule, open, due, id);
CREATE INDEX task_owner ON task (owner, open, due, id) WHERE owner IS NOT NULL;
CREATE TABLE timer (id text COLLATE "C" PRIMARY KEY, due bigint NOT NULL, partition bigint NOT NULL, action text COLLATE "C" NOT NULL, target text COLLATE "C" NOT NULL);
CREATE INDEX timer_due ON timer (due);
CREATE INDEX timer_target ON timer (target);
CREATE TABLE delivery (
    id text COLLATE "C" PRIMARY KEY,
    task text COLLATE "C",
    patient text COLLATE "C" NOT NULL,
    root text COLLATE "C" NOT NULL,
    partition bigint NOT NULL,
    destination text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('pending', 'held', 'sending', 'delivered', 'retrying', 'refused', 'unsure', 'superseded')),
    generation bigint NOT NULL,
    not_before bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    detail bytea NOT NULL,
    resource bytea NOT NULL
);
CREATE INDEX delivery_work ON delivery (state, not_before);
CREATE INDEX delivery_root ON delivery (root, created_at);
CREATE INDEX delivery_created ON delivery (created_at, id);
CREATE INDEX delivery_state ON delivery (state, created_at, id);
CREATE INDEX delivery_task ON delivery (task) WHERE task IS NOT NULL;
CREATE TABLE delivery_share (partition bigint NOT NULL, state text COLLATE "C" NOT NULL, n bigint NOT NULL, PRIMARY KEY (partition, state));
CREATE VIEW delivery_count AS
    SELECT known.state, coalesce(sum(share.n), 0)::bigint AS n
    FROM unnest(ARRAY['pending', 'held', 'sending', 'delivered', 'retrying', 'refused', 'unsure', 'superseded']) AS known (state)
    LEFT JOIN delivery_share AS share ON share.state = known.state GROUP BY known.state;
CREATE FUNCTION delivery_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND old.state = new.state AND old.partition = new.partition THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE delivery_share SET n = n - 1 WHERE partition = old.partition AND state = old.state;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO delivery_share VALUES (new.partition, new.state, 1)
        ON CONFLICT (partition, state) DO UPDATE SET n = delivery_share.n + 1;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER delivery_counted AFTER INSERT OR UPDATE OR DELETE ON delivery FOR EACH ROW EXECUTE FUNCTION delivery_counted();
CREATE TABLE event (
    patient text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    seq bigint NOT NULL,
    n bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    ref text COLLATE "C",
    doc text COLLATE "C",
    PRIMARY KEY (patient, at, seq, n)
);
-- What is neither an entry of the journal nor folded from it. All gateways of an installation share it.
CREATE TABLE installation (     -- 'namespace': the secret under which ids are made (FOLD 10)
    name text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);
CREATE TABLE token (
    id text COLLATE "C" PRIMARY KEY, -- whose it is: the caller's name in audit and history
    hash text NOT NULL,
    role text NOT NULL,         -- privacy.Role
    feed text NOT NULL CHECK ((feed <> '') = (role = 'feed')),
    created_at bigint NOT NULL, -- µs
    revoked_at bigint,
    expires_at bigint,          -- worthless from then on; NULL for never
    scopes text                 -- with blanks between; NULL for all that the role may
);
CREATE UNIQUE INDEX token_in_force ON token (hash) WHERE revoked_at IS NULL;
CREATE INDEX token_hash ON token (hash);
CREATE TABLE audit_event (      -- the audit trail: a chain of hashes, appended to under one advisory lock
    n bigint PRIMARY KEY,       -- 1, 2, 3, … without a gap
    at bigint NOT NULL,         -- µs
    principal text NOT NULL,
    role text NOT NULL,
    action text NOT NULL,
    patient text NOT NULL,      -- exactly one; '' where a caller was turned away first, or did what is about none
    allowed smallint NOT NULL CHECK (allowed IN (0, 1)),
    reason text NOT NULL,
    route text NOT NULL,        -- the template
    note text NOT NULL,         -- the caller's own words
    until bigint NOT NULL,      -- µs: when a grant ends; 0 for none
    hash text NOT NULL          -- over this event and the hash before it
);
CREATE INDEX audit_patient ON audit_event (patient, n);
CREATE INDEX audit_glass ON audit_event (principal, until) WHERE until > 0;
CREATE INDEX audit_settings ON audit_event (action, principal, n) WHERE patient = '';
CREATE TABLE audit_head (       -- the end of the chain, one row: shows where events were cut off
    n bigint NOT NULL,
    hash text NOT NULL
);
INSERT INTO audit_head VALUES (0, '');
CREATE TABLE audit_repeat (     -- how often events were repeated within the window of their first
    n bigint PRIMARY KEY,
    times bigint NOT NULL,
    last_at bigint NOT NULL
);
CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'kept for good' USING ERRCODE = 'integrity_constraint_violation'; END $$;
CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event EXECUTE FUNCTION audit_is_kept();
CREATE TRIGGER audit_head_kept BEFORE DELETE OR TRUNCATE ON audit_head EXECUTE FUNCTION audit_is_kept();
CREATE TRIGGER audit_head_grows BEFORE UPDATE ON audit_head FOR EACH ROW WHEN (new.n <= old.n) EXECUTE FUNCTION audit_is_kept();
