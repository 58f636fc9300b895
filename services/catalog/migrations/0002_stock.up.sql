-- Units of each SKU, the ledger of what moved them, and the holds that set them aside.
CREATE TABLE stock (
    sku        text   PRIMARY KEY,
    product_id uuid,
    position   integer,
    on_hand    bigint NOT NULL DEFAULT 0,
    reserved   bigint NOT NULL DEFAULT 0,
    CONSTRAINT stock_law CHECK (0 <= reserved AND reserved <= on_hand)
) WITH (fillfactor = 60);
COMMENT ON TABLE stock IS 'Outlives the variant, so that what comes back later still has its place; product_id is null then.';
CREATE INDEX stock_by_product ON stock (product_id, position);

CREATE TABLE stock_movement (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku      text        NOT NULL,
    kind     text        NOT NULL CHECK (kind IN ('adjusted', 'sold', 'returned')),
    quantity bigint      NOT NULL,
    reason   text,
    who      uuid,
    hold_id  uuid,
    at       timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN stock_movement.quantity IS 'What it changed on_hand by: their sum is what is on hand.';
CREATE INDEX stock_movement_by_sku ON stock_movement (sku, id);

-- A hold says what should be of its stock (wanted, from its status) and what already is (taken). Events and expiry only
-- change the status; settle_holds() moves the stock after it, many holds at once, SKUs always locked in order.
CREATE TABLE hold (
    id          uuid        PRIMARY KEY,
    order_id    uuid,
    status      text        NOT NULL CHECK (status IN ('held', 'sold', 'released', 'expired', 'cancelled', 'lost')),
    wanted      text        NOT NULL GENERATED ALWAYS AS (
        CASE status WHEN 'held' THEN 'reserved' WHEN 'sold' THEN 'sold' ELSE 'nothing' END
    ) STORED,
    taken       text        NOT NULL CHECK (taken IN ('reserved', 'sold', 'nothing')),
    fingerprint bytea       NOT NULL,
    skus        text[]      NOT NULL,
    quantities  integer[]   NOT NULL,
    answer      text        NOT NULL,
    expires_at  timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE INDEX hold_running_out ON hold (expires_at) WHERE status = 'held';
CREATE INDEX hold_unsettled ON hold (id) WHERE wanted <> taken;

CREATE VIEW stock_out_of_balance AS
SELECT s.sku, s.on_hand, coalesce(m.quantity, 0) AS moved, s.reserved, coalesce(h.quantity, 0) AS held
FROM stock s
LEFT JOIN (SELECT sku, sum(quantity) AS quantity FROM stock_movement GROUP BY sku) m ON m.sku = s.sku
LEFT JOIN (
    SELECT l.sku, sum(l.quantity) AS quantity
    FROM hold, unnest(skus, quantities) AS l (sku, quantity) WHERE taken = 'reserved' GROUP BY l.sku
) h ON h.sku = s.sku
WHERE s.on_hand <> coalesce(m.quantity, 0) OR s.reserved <> coalesce(h.quantity, 0);
COMMENT ON VIEW stock_out_of_balance IS 'Empty while units sold + held + left = units put in.';
