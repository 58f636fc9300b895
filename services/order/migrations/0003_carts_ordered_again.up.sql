-- A cart's version may be ordered again once its earlier order was cancelled.
CREATE UNIQUE INDEX orders_of_cart_version ON orders (cart_id, cart_version) WHERE status <> 'cancelled';
CREATE INDEX orders_cancelled_of_cart ON orders (cart_id, cart_version)
    WHERE status = 'cancelled' AND cart_id IS NOT NULL;
ALTER TABLE orders DROP CONSTRAINT orders_cart_id_cart_version_key;

ALTER TABLE orders ADD COLUMN failed_payments uuid[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN orders.failed_payments IS 'The payments that failed while the order waited to be paid.';
