-- What an order has to pay: at most one payment of it that did not fail, and whether it may still be charged at all.
-- A cancelled order has its row even when nothing else was heard of it, so that a late `placed` charges nobody.
CREATE TABLE bill (
    order_id   uuid        PRIMARY KEY,
    payment_id uuid,
    cancelled  boolean     NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE payment (
    id            uuid        PRIMARY KEY,
    order_id      uuid        NOT NULL REFERENCES bill (order_id),
    user_id       uuid,
    amount        bigint      NOT NULL CHECK (amount >= 0),
    currency      text        NOT NULL,
    refunded      bigint      NOT NULL DEFAULT 0 CHECK (refunded >= 0),
    refunding     bigint      NOT NULL DEFAULT 0 CHECK (refunding >= 0),
    status        text        NOT NULL DEFAULT 'processing' CHECK (status IN
        ('processing', 'requires_action', 'captured', 'failed', 'refunded', 'partially_refunded', 'disputed')),
    provider      text        NOT NULL,
    failure_code  text,
    client_secret text,
    cancelled     boolean     NOT NULL DEFAULT false,
    traceparent   text        NOT NULL,
    request_id    text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CHECK (refunded + refunding <= amount)
);
CREATE INDEX payment_order_id ON payment (order_id);
CREATE INDEX payment_user_id ON payment (user_id, id);

-- Work to be done at the gateway for a payment; the row goes, and the means of payment with it, once it is settled.
-- `due_at` is also the lease of whoever works on it: a process that dies leaves it to the next after that moment.
CREATE TABLE attempt (
    payment_id uuid        PRIMARY KEY REFERENCES payment (id),
    step       text        NOT NULL CHECK (step IN ('charge', 'confirm', 'void')),
    method     text,
    tries      int         NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT now(),
    begun_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX attempt_due_at ON attempt (due_at);

CREATE TABLE refund (
    id           uuid        PRIMARY KEY,
    payment_id   uuid        NOT NULL REFERENCES payment (id),
    amount       bigint      NOT NULL CHECK (amount > 0),
    reason       text,
    status       text        NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'done', 'failed')),
    failure_code text,
    tries        int         NOT NULL DEFAULT 0,
    due_at       timestamptz NOT NULL DEFAULT now(),
    traceparent  text        NOT NULL,
    request_id   text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    settled_at   timestamptz
);
CREATE INDEX refund_payment_id ON refund (payment_id);
CREATE INDEX refund_due_at ON refund (due_at) WHERE status = 'pending';

-- Which payment or refund an idempotency key makes, now or when it is asked again: the answer waits for the gateway and
-- is kept only then; the effect must not be there twice in the meantime.
CREATE TABLE reservation (
    digest      bytea       PRIMARY KEY,
    fingerprint bytea       NOT NULL,
    thing_id    uuid        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX reservation_created_at ON reservation (created_at);
