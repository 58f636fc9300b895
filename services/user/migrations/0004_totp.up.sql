-- Second factors: the secrets of authenticators, and recovery codes.

-- Whether a login needs a code. It is here, not with the secret, as every answer about an account says it.
ALTER TABLE account ADD COLUMN totp boolean NOT NULL DEFAULT false;

-- `secret` is sealed under a key that is not in this database. It waits to be confirmed as long as `last_step` is 0:
-- the newest time step of which a code was taken. `wrong` counts wrong codes since then, wherever they came from.
CREATE TABLE second_factor (
    account_id uuid        PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    secret     bytea       NOT NULL,
    last_step  bigint      NOT NULL DEFAULT 0,
    wrong      int         NOT NULL DEFAULT 0,
    wrong_at   timestamptz NOT NULL DEFAULT now(),
    made_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX second_factor_pending ON second_factor (made_at) WHERE last_step = 0;

-- Of a recovery code only a keyed digest is kept; the row goes when the code is used.
CREATE TABLE recovery_code (
    account_id uuid  NOT NULL REFERENCES second_factor (account_id) ON DELETE CASCADE,
    digest     bytea NOT NULL,
    PRIMARY KEY (account_id, digest)
);
