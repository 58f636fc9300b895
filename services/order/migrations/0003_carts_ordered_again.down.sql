ALTER TABLE orders DROP COLUMN failed_payments;

-- Only one order of a cart's version can keep it: the one that is not cancelled, else the newest.
UPDATE orders SET cart_id = NULL, cart_version = NULL
WHERE status = 'cancelled' AND EXISTS (
    SELECT FROM orders AS other
    WHERE other.cart_id = orders.cart_id AND other.cart_version = orders.cart_version
        AND (other.status <> 'cancelled' OR other.id > orders.id)
);
ALTER TABLE orders ADD CONSTRAINT orders_cart_id_cart_version_key UNIQUE (cart_id, cart_version);
DROP INDEX orders_cancelled_of_cart;
DROP INDEX orders_of_cart_version;
