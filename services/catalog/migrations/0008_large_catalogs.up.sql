-- Lists of a category, its facets, and holds stay fast with 100,000 products.

-- Each category of a subtree gives its first products in the order of the list.
CREATE INDEX product_of_category ON product (category_id, id) WHERE is_active;
CREATE INDEX product_of_category_by_price ON product (category_id, price, id) WHERE is_active;
CREATE INDEX product_of_category_by_name ON product (category_id, name_key, id) WHERE is_active;
CREATE INDEX product_of_category_by_rating ON product (category_id, rating_average, id) WHERE is_active;

-- The transactions that changed what lists and facets are made from. A service keeps the facets of large results until
-- one of them is visible that was not when it counted. Rows are only added, so that no writer waits for another.
CREATE TABLE product_change (
    transaction_id xid8        NOT NULL DEFAULT pg_current_xact_id(),
    is_stock       boolean     NOT NULL,
    changed_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (transaction_id, is_stock)
);
COMMENT ON COLUMN product_change.is_stock IS 'Whether a SKU was sold out or came back, or else a product or category changed.';

CREATE FUNCTION record_product_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO product_change (is_stock) VALUES (TG_TABLE_NAME = 'stock') ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;
CREATE TRIGGER product_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON product
    FOR EACH STATEMENT EXECUTE FUNCTION record_product_change();
CREATE TRIGGER category_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON category
    FOR EACH STATEMENT EXECUTE FUNCTION record_product_change();
CREATE TRIGGER stock_sold_out AFTER UPDATE ON stock
    FOR EACH ROW WHEN (
        (old.on_hand > old.reserved) <> (new.on_hand > new.reserved) OR old.product_id IS DISTINCT FROM new.product_id
    ) EXECUTE FUNCTION record_product_change();
CREATE TRIGGER stock_added AFTER INSERT OR DELETE OR TRUNCATE ON stock
    FOR EACH STATEMENT EXECUTE FUNCTION record_product_change();

-- Planned once for each connection, not for each call: 650 microseconds of the server before, 225 after.
ALTER FUNCTION settle_holds SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION place_hold SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION place_guest_hold SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION release_hold SET plan_cache_mode = force_generic_plan;
