-- What older orders are found by. New orders go on meanwhile: this locks none of them.
INSERT INTO order_search_key (key, order_id)
SELECT key, id FROM orders, order_search_keys(items, shipping_address, billing_address) AS key
ON CONFLICT DO NOTHING;
