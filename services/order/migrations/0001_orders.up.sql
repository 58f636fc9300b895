-- An order is one row: its lines never change once placed and its history only grows, so both are read with it.
-- A hold belongs to one order and a cart's version is ordered once, whoever tries twice at the same time.
CREATE TABLE orders (
    id               uuid        PRIMARY KEY,
    serial           bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    version          int         NOT NULL DEFAULT 1,
    status           text        NOT NULL
        CHECK (status IN ('pending', 'paid', 'shipped', 'delivered', 'cancelled', 'refunded')),
    user_id          uuid,
    email            text,
    hold_id          uuid        NOT NULL UNIQUE,
    cart_id          text,
    cart_version     bigint,
    currency         text        NOT NULL,
    subtotal         bigint      NOT NULL,
    discount         bigint      NOT NULL,
    shipping         bigint      NOT NULL,
    tax              bigint      NOT NULL,
    total            bigint      NOT NULL CHECK (total = subtotal - discount + shipping + tax AND total >= 0),
    items            jsonb       NOT NULL,
    shipping_method  text        NOT NULL,
    shipping_address jsonb       NOT NULL,
    payment_method   text,
    payment_id       uuid,
    tracking         jsonb,
    history          jsonb       NOT NULL,
    pay_by           timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    UNIQUE (cart_id, cart_version),
    CHECK ((cart_id IS NULL) = (cart_version IS NULL)),
    CHECK (payment_id IS NOT NULL OR status NOT IN ('paid', 'shipped', 'delivered', 'refunded'))
);
CREATE INDEX orders_of_user ON orders (user_id, id);
CREATE INDEX orders_unpaid ON orders (pay_by) WHERE status = 'pending';

COMMENT ON COLUMN orders.serial IS 'What the number of an order is made from.';
COMMENT ON COLUMN orders.email IS 'Of a guest, for notification alone; it is in no event and no log.';
COMMENT ON COLUMN orders.payment_method IS 'A gateway''s token, for payment alone; it is in no event and no log.';
COMMENT ON COLUMN orders.pay_by IS 'When a pending order is given up. Always before its hold runs out.';
