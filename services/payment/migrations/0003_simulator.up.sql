-- The books of the simulated gateway: another company's, which the payment service never reads but through its gateway.
CREATE SCHEMA simulator;

CREATE TABLE simulator.charge (
    key           uuid        PRIMARY KEY,
    token         text,
    amount        bigint      NOT NULL,
    currency      text        NOT NULL,
    state         text        NOT NULL CHECK (state IN ('captured', 'declined', 'action_required', 'erred', 'voided')),
    failure_code  text,
    client_secret text,
    calls         int         NOT NULL DEFAULT 1,
    effective_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX charge_effective_at ON simulator.charge (effective_at, key);

CREATE TABLE simulator.refund (
    key          uuid        PRIMARY KEY,
    charge_key   uuid        NOT NULL REFERENCES simulator.charge (key),
    amount       bigint      NOT NULL,
    state        text        NOT NULL CHECK (state IN ('refunded', 'erred')),
    calls        int         NOT NULL DEFAULT 1,
    effective_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX refund_charge_key ON simulator.refund (charge_key);
CREATE INDEX refund_effective_at ON simulator.refund (effective_at, key);
