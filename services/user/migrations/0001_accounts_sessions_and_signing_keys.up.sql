-- Accounts, their sessions, failed logins, and the keys that sign access tokens.
CREATE TABLE account (
    id             uuid        PRIMARY KEY,
    email          text        NOT NULL,
    -- The e-mail as it is compared: two spellings of one address are one account.
    email_key      text        NOT NULL,
    password_hash  text        NOT NULL,
    first_name     text        NOT NULL,
    last_name      text        NOT NULL,
    role           text        NOT NULL CHECK (role IN ('customer', 'admin')),
    is_active      boolean     NOT NULL DEFAULT true,
    email_verified boolean     NOT NULL DEFAULT false,
    version        int         NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX account_email_key ON account (email_key);

-- A login and everything refreshed from it: the family of its refresh tokens.
CREATE TABLE session (
    id         uuid        PRIMARY KEY,
    account_id uuid        NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX session_account_id ON session (account_id);
CREATE INDEX session_expires_at ON session (expires_at);

-- Of a refresh token only its SHA-256 is kept. A spent one stays until it expires, so that its reuse is noticed.
CREATE TABLE refresh_token (
    digest     bytea       PRIMARY KEY,
    session_id uuid        NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    spent_at   timestamptz
);
CREATE INDEX refresh_token_session_id ON refresh_token (session_id);
CREATE INDEX refresh_token_expires_at ON refresh_token (expires_at);

-- `account` is a keyed digest of the e-mail that was tried, whether there is such an account or not.
CREATE TABLE login_failure (
    account   bytea       NOT NULL,
    address   text        NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX login_failure_address ON login_failure (address, failed_at);
CREATE INDEX login_failure_failed_at ON login_failure (failed_at);

-- `sealed` is the private key as PKCS#8 PEM, encrypted under a secret that is not in this database.
CREATE TABLE signing_key (
    kid        text        PRIMARY KEY,
    sealed     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz
);
