-- Coupons, their single-use codes, and which order uses which. `used` counts the uses that are not released: it is
-- changed in the transaction that writes or cancels the order, under the lock of the coupon's row.
CREATE TABLE coupon (
    id                uuid        PRIMARY KEY,
    version           int         NOT NULL DEFAULT 1,
    code              text,
    code_key          text        UNIQUE,
    kind              text        NOT NULL,
    value             bigint      NOT NULL CHECK (value > 0),
    currency          text,
    applies_to        text        NOT NULL,
    min_subtotal      bigint,
    starts_at         timestamptz,
    ends_at           timestamptz,
    max_uses          int,
    max_uses_per_user int,
    first_order_only  boolean     NOT NULL,
    active            boolean     NOT NULL,
    used              int         NOT NULL DEFAULT 0,
    created_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT coupon_used_within_limit CHECK (used >= 0 AND used <= max_uses)
) WITH (fillfactor = 50);
COMMENT ON COLUMN coupon.version IS 'Each edit makes a new one; a use does not.';
COMMENT ON COLUMN coupon.code_key IS 'The code as codes are compared; null where only single-use codes are accepted.';

CREATE TABLE coupon_code (
    key       text PRIMARY KEY,
    coupon_id uuid NOT NULL REFERENCES coupon,
    code      text NOT NULL
);
CREATE INDEX coupon_code_of_coupon ON coupon_code (coupon_id);

CREATE TABLE coupon_use (
    order_id     uuid  PRIMARY KEY REFERENCES orders,
    coupon_id    uuid  NOT NULL REFERENCES coupon,
    code_key     text  REFERENCES coupon_code,
    customer_key bytea,
    state        text  NOT NULL CHECK (state IN ('reserved', 'spent', 'released'))
) WITH (fillfactor = 70);
CREATE INDEX coupon_use_of_customer ON coupon_use (coupon_id, customer_key);
CREATE UNIQUE INDEX coupon_use_of_code ON coupon_use (code_key) WHERE state <> 'released';
COMMENT ON COLUMN coupon_use.code_key IS 'The single-use code; null for the code of the coupon.';
COMMENT ON COLUMN coupon_use.customer_key IS 'The customer''s id, or a keyed hash of a guest''s mailbox until that is erased.';

ALTER TABLE orders
    ADD COLUMN coupon            text,
    ADD COLUMN shipping_discount bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN orders.shipping_discount IS 'The part of the discount that is taken off shipping; the rest is in items.';
