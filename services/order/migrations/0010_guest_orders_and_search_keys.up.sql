-- Orders that guests ask for by number and e-mail; who is billed; notes; and what administrators find orders by.
CREATE TABLE order_lookup (
    id     uuid   PRIMARY KEY,
    serial bigint NOT NULL,
    emails text[] NOT NULL
);
COMMENT ON TABLE order_lookup IS 'Whether there is such an order is not known yet, so that the request takes the same time.';
COMMENT ON COLUMN order_lookup.emails IS 'The spellings of the e-mail in lower case. The row is deleted within seconds.';

ALTER TABLE orders ADD COLUMN billing_address jsonb, ADD COLUMN notes jsonb;
COMMENT ON COLUMN orders.billing_address IS 'Null if the shipping address is that of the bill too.';
COMMENT ON COLUMN orders.notes IS 'Of administrators, internal ones too; null if there are none.';

-- An order is found by each SKU in it and by each word of its names and companies. A row per key, sorted by order, lists
-- the newest orders of a common word as fast as those of a rare one. Triggers write the rows, so that the release that
-- still runs need not know them; the next migration writes those of older orders.
CREATE TABLE order_search_key (
    key      text COLLATE "C" NOT NULL,
    order_id uuid NOT NULL,
    PRIMARY KEY (key, order_id)
);

-- Words in lower case without accents. Longer ones are cut, because an index cannot hold a text of any length.
CREATE FUNCTION name_words(name text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT DISTINCT left(word, 64)
    FROM regexp_split_to_table(
        lower(regexp_replace(normalize(name, NFKD), '[\u0300-\u036f]', '', 'g')), '[^[:alnum:]]+'
    ) AS word
    WHERE word <> ''
$$;

CREATE FUNCTION order_search_keys(items jsonb, shipping_address jsonb, billing_address jsonb) RETURNS SETOF text
LANGUAGE sql IMMUTABLE AS $$
    SELECT 'sku ' || (item ->> 'sku') FROM jsonb_array_elements(items) AS item
    UNION
    SELECT 'name ' || word FROM name_words(
        coalesce(shipping_address ->> 'name', '') || ' ' || coalesce(shipping_address ->> 'company', '') || ' '
        || coalesce(billing_address ->> 'name', '') || ' ' || coalesce(billing_address ->> 'company', '')
    ) AS word
$$;

CREATE FUNCTION add_order_search_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO order_search_key (key, order_id)
    SELECT key, id FROM placed, order_search_keys(items, shipping_address, billing_address) AS key;
    RETURN NULL;
END
$$;
CREATE TRIGGER orders_placed AFTER INSERT ON orders
    REFERENCING NEW TABLE AS placed FOR EACH STATEMENT EXECUTE FUNCTION add_order_search_keys();

CREATE FUNCTION change_order_search_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM order_search_key
    WHERE order_id = OLD.id
        AND key IN (SELECT order_search_keys(OLD.items, OLD.shipping_address, OLD.billing_address));
    INSERT INTO order_search_key (key, order_id)
    SELECT key, NEW.id FROM order_search_keys(NEW.items, NEW.shipping_address, NEW.billing_address) AS key
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER orders_renamed AFTER UPDATE OF items, shipping_address, billing_address ON orders
    FOR EACH ROW EXECUTE FUNCTION change_order_search_keys();

CREATE FUNCTION remove_order_search_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM order_search_key
    USING removed, order_search_keys(items, shipping_address, billing_address) AS removed_key
    WHERE key = removed_key AND order_id = removed.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER orders_removed AFTER DELETE ON orders
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION remove_order_search_keys();
