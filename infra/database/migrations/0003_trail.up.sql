-- The audit trail: a chain of acts that only grows. What it may hold and how a hash is made says infra/database/audit_log.py.
CREATE TABLE trail (
    seq        bigint      PRIMARY KEY CHECK (seq > 0),
    at         timestamptz NOT NULL,
    act        text        NOT NULL,
    actor_kind text        NOT NULL,
    actor_id   uuid,
    client     text        NOT NULL,
    trace_id   text        NOT NULL,
    request_id text        NOT NULL,
    subject    text        NOT NULL,
    before     jsonb       NOT NULL,
    after      jsonb       NOT NULL,
    previous   bytea       NOT NULL CHECK (length(previous) = 32),
    hash       bytea       NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX trail_actor_id ON trail (actor_id, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX trail_subject ON trail (subject, seq) WHERE subject <> '';
CREATE INDEX trail_act ON trail (act, seq);

CREATE FUNCTION trail_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail only grows' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER trail_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON trail
    FOR EACH STATEMENT EXECUTE FUNCTION trail_only_grows();
-- Not switched off by session_replication_role either.
ALTER TABLE trail ENABLE ALWAYS TRIGGER trail_only_grows;
-- Its owner, too, would first have to give itself the right again.
REVOKE UPDATE, DELETE, TRUNCATE ON trail FROM CURRENT_USER;
