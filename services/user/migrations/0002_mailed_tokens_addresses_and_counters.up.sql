-- Mailed tokens, addresses, counted requests; where a session was last used, and the successor of a spent token.

-- One row a purpose: asking again makes the token before void. What is kept of the token is its SHA-256 and the seed it
-- is made from, with a secret that is not in this database, at the moment it is mailed.
CREATE TABLE proof (
    id         uuid        PRIMARY KEY,
    account_id uuid        NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    purpose    text        NOT NULL CHECK (purpose IN ('verify_email', 'reset_password')),
    seed       bytea       NOT NULL,
    digest     bytea       NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT proof_one_a_purpose UNIQUE (account_id, purpose)
);
CREATE UNIQUE INDEX proof_digest ON proof (digest);
CREATE INDEX proof_expires_at ON proof (expires_at);

-- Who says to have forgotten a password, known here or not, for the moment until it is looked up.
CREATE TABLE forgotten (
    position  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email_key text        NOT NULL,
    asked_at  timestamptz NOT NULL DEFAULT now()
);

-- Requests that are counted, by a keyed digest of the e-mail that was named and by address.
CREATE TABLE counted_request (
    kind    text        NOT NULL,
    account bytea       NOT NULL,
    address text        NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX counted_request_account ON counted_request (kind, account, made_at);
CREATE INDEX counted_request_address ON counted_request (kind, address, made_at);
CREATE INDEX counted_request_made_at ON counted_request (made_at);

CREATE TABLE address (
    id          uuid        PRIMARY KEY,
    account_id  uuid        NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name        text        NOT NULL,
    line1       text        NOT NULL,
    line2       text,
    city        text        NOT NULL,
    region      text,
    postal_code text        NOT NULL,
    country     text        NOT NULL,
    phone       text,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX address_account_id ON address (account_id, id);

ALTER TABLE session ADD COLUMN address text NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN used_at timestamptz NOT NULL DEFAULT now();

-- The next refresh token, sealed under the spent one, which is kept nowhere; taken out when it was given once more.
ALTER TABLE refresh_token ADD COLUMN successor bytea;

CREATE INDEX account_role ON account (role) WHERE role = 'admin';
