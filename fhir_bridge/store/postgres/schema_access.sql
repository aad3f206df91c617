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
