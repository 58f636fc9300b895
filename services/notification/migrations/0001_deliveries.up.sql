-- What customers are told: one row a thing said about an order, sent by whichever process has leased it.
CREATE TABLE delivery (
    id          uuid        PRIMARY KEY,
    kind        text        NOT NULL,
    channel     text        NOT NULL,
    order_id    uuid        NOT NULL,
    user_id     uuid,
    subject     text        NOT NULL,
    facts       jsonb       NOT NULL,
    traceparent text        NOT NULL,
    request_id  text        NOT NULL,
    status      text        NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'sent', 'failed', 'suppressed')),
    attempts    int         NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_at      timestamptz NOT NULL DEFAULT now(),
    reason      text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    sent_at     timestamptz,
    CONSTRAINT delivery_said_once UNIQUE (order_id, kind, channel),
    CONSTRAINT delivery_sent_at CHECK ((status = 'sent') = (sent_at IS NOT NULL))
);
CREATE INDEX delivery_due ON delivery (due_at) WHERE status = 'queued';
CREATE INDEX delivery_of_user ON delivery (user_id, id);
