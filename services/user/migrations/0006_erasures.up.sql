-- Accounts that are closed for good, and how far each service has come in forgetting them. The e-mail stays in the
-- account's row until that goes, as the last of all. An erasure is kept: ids and moments, and nothing else, are its
-- receipt, found by the digest of a secret that only the person was told.
ALTER TABLE account ADD COLUMN erasing boolean NOT NULL DEFAULT false;

CREATE TABLE erasure (
    digest     bytea       PRIMARY KEY,
    account_id uuid        NOT NULL UNIQUE,
    services   jsonb       NOT NULL DEFAULT '{}',
    orders     uuid[],
    tries      int         NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL,
    asked_at   timestamptz NOT NULL DEFAULT now(),
    done_at    timestamptz
);
CREATE INDEX erasure_due ON erasure (due_at) WHERE done_at IS NULL;

COMMENT ON COLUMN erasure.services IS 'Those that are done, and since when.';
COMMENT ON COLUMN erasure.orders IS 'Orders that the person placed as a guest, while they are being erased.';
