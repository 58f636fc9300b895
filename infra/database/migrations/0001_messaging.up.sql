-- What every service keeps for its messages: events on their way out, events already heard, answers already given.
CREATE TABLE outbox (
    position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          uuid        NOT NULL,
    subject     text        NOT NULL,
    type        text        NOT NULL,
    source      text        NOT NULL,
    body        text        NOT NULL,
    traceparent text        NOT NULL,
    request_id  text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE inbox (
    event_id uuid        PRIMARY KEY,
    heard_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX inbox_heard_at ON inbox (heard_at);

CREATE TABLE idempotency (
    digest      bytea       PRIMARY KEY,
    fingerprint bytea       NOT NULL,
    answer      bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_created_at ON idempotency (created_at);
