DROP TRIGGER orders_removed ON orders;
DROP TRIGGER orders_renamed ON orders;
DROP TRIGGER orders_placed ON orders;
DROP FUNCTION remove_order_search_keys(), change_order_search_keys(), add_order_search_keys();
DROP FUNCTION order_search_keys(jsonb, jsonb, jsonb);
DROP FUNCTION name_words(text);
DROP TABLE order_search_key;
ALTER TABLE orders DROP COLUMN billing_address, DROP COLUMN notes;
DROP TABLE order_lookup;
