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
