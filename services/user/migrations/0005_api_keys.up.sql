-- API keys of machines. Of a key only its SHA-256 is kept. It ends with the administrator who made it.
CREATE TABLE api_key (
    id         uuid        PRIMARY KEY,
    made_by    uuid        NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name       text        NOT NULL,
    digest     bytea       NOT NULL,
    scopes     text[]      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    -- Written once a minute at the most.
    used_at    timestamptz,
    revoked_at timestamptz,
    -- When the edges were told that it has ended.
    told_at    timestamptz
);
CREATE UNIQUE INDEX api_key_digest ON api_key (digest);
CREATE INDEX api_key_made_by ON api_key (made_by);
CREATE INDEX api_key_untold ON api_key (revoked_at) WHERE revoked_at IS NOT NULL AND told_at IS NULL;
