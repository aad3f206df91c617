-- The state: a fold over the journal, written by the worker alone. Documents are canonical JSON (keys sorted).
CREATE TABLE cursor (           -- how far each partition is applied; moves in the transaction of the effects
    partition INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    now INTEGER NOT NULL        -- highest received_at applied, µs (FOLD 14)
) STRICT;
CREATE TABLE outcome (          -- how each applied, ignored or parked entry ended; duplicates and refusals stand in the journal
    seq INTEGER PRIMARY KEY,
    outcome TEXT NOT NULL CHECK (outcome IN ('applied', 'ignored', 'parked', 'refused')),
    feed TEXT NOT NULL,
    kind TEXT NOT NULL,
    code TEXT,                  -- why ignored, parked or refused: a code, never a value
    location TEXT,              -- where: segment-field, or a FHIR path
    sets TEXT,                  -- hash of the sets in force
    patient TEXT,               -- Patient id that it was about
    result TEXT                 -- JSON, for commands and FHIR writes: what the caller is told
) STRICT;
CREATE INDEX outcome_parked ON outcome (seq) WHERE outcome = 'parked';
CREATE INDEX outcome_parked_patient ON outcome (patient) WHERE outcome = 'parked';
CREATE TABLE counter (feed TEXT NOT NULL, kind TEXT NOT NULL, outcome TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (feed, kind, outcome)) STRICT, WITHOUT ROWID;
CREATE TABLE active_set (kind TEXT PRIMARY KEY, hash TEXT NOT NULL, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID; -- 'mapping', 'rules'
CREATE TABLE part (             -- the record, kept by identifier and never moved: Patient, Encounter, Appointment, Communication, Practitioner, Organization, Location
    id TEXT PRIMARY KEY,        -- the FHIR id
    type TEXT NOT NULL,
    patient TEXT,               -- the owning Patient id; NULL for directory entries
    live_until INTEGER,         -- µs; rules look at it until then
    doc BLOB NOT NULL           -- registers, sets, facts: see fhir_bridge/record
) STRICT, WITHOUT ROWID;
CREATE INDEX part_patient ON part (patient, type, live_until) WHERE patient IS NOT NULL;
CREATE INDEX part_communication ON part (live_until, id) WHERE type = 'Communication';
CREATE TABLE patient (          -- what patients are found by; one row for each identifier's record
    id TEXT PRIMARY KEY,
    root TEXT NOT NULL,         -- the survivor under which this record is shown; itself when not merged
    family TEXT, given TEXT,    -- casefolded, for search
    birth_date TEXT,
    gender TEXT,
    deceased INTEGER NOT NULL DEFAULT 0,
    test INTEGER NOT NULL DEFAULT 0,
    partition INTEGER           -- where this patient's entries lie; NULL while only another's entry named them
) STRICT, WITHOUT ROWID;
CREATE INDEX patient_root ON patient (root);
CREATE INDEX patient_name ON patient (family, coalesce(given, ''), id);
CREATE INDEX patient_birth ON patient (birth_date, coalesce(family, ''), id);
CREATE TABLE identifier (value TEXT NOT NULL, system TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (value, system, type, id)) STRICT, WITHOUT ROWID; -- type: Patient, Encounter, Appointment
CREATE INDEX identifier_id ON identifier (id);
CREATE TABLE link (retired TEXT NOT NULL, survivor TEXT NOT NULL, source TEXT NOT NULL, clock INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (retired, source)) STRICT, WITHOUT ROWID;
CREATE TABLE task (
    id TEXT PRIMARY KEY,
    grp TEXT NOT NULL,          -- groupIdentifier: rule, scope and anchor; successors share it
    generation INTEGER NOT NULL,
    patient TEXT NOT NULL,      -- the Patient id it was raised for
    root TEXT NOT NULL,         -- the survivor it is shown under
    rule TEXT NOT NULL,
    rule_version INTEGER NOT NULL,
    scope_type TEXT NOT NULL,
    scope_id TEXT NOT NULL,
    anchor TEXT NOT NULL,       -- the anchoring fact, 'admitted#0'
    status TEXT NOT NULL,       -- FHIR Task.status
    business_status TEXT,       -- overdue, awaiting-patient, …
    queue TEXT NOT NULL,
    owner TEXT,
    priority TEXT NOT NULL,     -- FHIR request-priority
    start INTEGER,              -- µs: the clock's origin
    due INTEGER,                -- µs
    opened_at INTEGER NOT NULL, -- µs: received_at of the entry that opened it
    closed_at INTEGER,
    open INTEGER NOT NULL,      -- 1 while the status is not terminal
    settled_by TEXT,            -- 'person' or 'record' once terminal
    version INTEGER NOT NULL,   -- ETag
    doc BLOB NOT NULL           -- {"evidence": [...], "status_reason":…, "comments": [...], "output": {...}, "history": [...]}
) STRICT, WITHOUT ROWID;
CREATE INDEX task_scope ON task (scope_id, rule);
CREATE INDEX task_root ON task (root, open, due);
CREATE INDEX task_work ON task (open, due, id);
CREATE INDEX task_queue ON task (queue, open, due, id);
CREATE INDEX task_rule ON task (rule, open, due, id);
CREATE INDEX task_owner ON task (owner, open, due, id) WHERE owner IS NOT NULL;
CREATE TABLE timer (id TEXT PRIMARY KEY, due INTEGER NOT NULL, partition INTEGER NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX timer_due ON timer (due);
CREATE INDEX timer_target ON timer (target);
CREATE TABLE delivery (
    id TEXT PRIMARY KEY,
    task TEXT,
    patient TEXT NOT NULL,
    root TEXT NOT NULL,
    partition INTEGER NOT NULL,
    destination TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'held', 'sending', 'delivered', 'retrying', 'refused', 'unsure', 'superseded')),
    generation INTEGER NOT NULL, -- number of the next (or running) attempt
    not_before INTEGER NOT NULL, -- µs
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    detail BLOB NOT NULL,        -- {"reason":…, "http_status":…, "ehr_id":…, "operation_outcome":…, "history": [...]}
    resource BLOB NOT NULL       -- the validated FHIR resource that goes out
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_work ON delivery (state, not_before);
CREATE INDEX delivery_root ON delivery (root, created_at);
CREATE INDEX delivery_created ON delivery (created_at, id);
CREATE INDEX delivery_state ON delivery (state, created_at, id);
CREATE INDEX delivery_task ON delivery (task) WHERE task IS NOT NULL;
CREATE TABLE delivery_count (state TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID; -- kept by the triggers, which a REPLACE of put_delivery passes too
INSERT INTO delivery_count VALUES ('pending', 0), ('held', 0), ('sending', 0), ('delivered', 0), ('retrying', 0), ('refused', 0), ('unsure', 0), ('superseded', 0);
CREATE TRIGGER delivery_put BEFORE INSERT ON delivery BEGIN
    UPDATE delivery_count SET n = n - 1 WHERE state = (SELECT state FROM delivery WHERE id = new.id);
    UPDATE delivery_count SET n = n + 1 WHERE state = new.state;
END;
CREATE TRIGGER delivery_moved AFTER UPDATE OF state ON delivery BEGIN
    UPDATE delivery_count SET n = n - 1 WHERE state = old.state;
    UPDATE delivery_count SET n = n + 1 WHERE state = new.state;
END;
CREATE TRIGGER delivery_gone AFTER DELETE ON delivery BEGIN
    UPDATE delivery_count SET n = n - 1 WHERE state = old.state;
END;
CREATE TABLE event (            -- the timeline: one line for each thing that happened to a patient
    patient TEXT NOT NULL,
    at INTEGER NOT NULL,        -- µs
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    kind TEXT NOT NULL,         -- 'encounter.admitted', 'task.opened', 'patient.merged', …
    ref TEXT,                   -- 'Encounter/…'
    doc TEXT,                   -- JSON detail
    PRIMARY KEY (patient, at, seq, n)
) STRICT, WITHOUT ROWID;
