-- Scheduled prices, price lists and quantity breaks, and the history of prices in force.

CREATE TABLE price_list (
    id        uuid        PRIMARY KEY,
    name      text        NOT NULL,
    priority  integer     NOT NULL CHECK (priority >= 1),
    starts_at timestamptz,
    ends_at   timestamptz,
    CHECK (starts_at < ends_at)
);

CREATE TABLE price (
    id               uuid        PRIMARY KEY,
    product_id       uuid        NOT NULL REFERENCES product (id),
    sku              text        NOT NULL,
    list_id          uuid        REFERENCES price_list (id),
    currency         text        NOT NULL,
    price            bigint      NOT NULL CHECK (price >= 0),
    compare_at_price bigint,
    min_quantity     integer     NOT NULL CHECK (min_quantity >= 1),
    starts_at        timestamptz,
    ends_at          timestamptz,
    CHECK (starts_at < ends_at),
    CONSTRAINT price_in_force_alone UNIQUE NULLS NOT DISTINCT (product_id, sku, list_id, min_quantity, starts_at)
);
COMMENT ON TABLE price IS 'Prices beside variant.price: of a list, at a time, or from a quantity on.';
CREATE INDEX price_of_product ON price (product_id, id);
CREATE INDEX price_of_list ON price (list_id, id) WHERE list_id IS NOT NULL;

-- What was in force from when. Each change of a variant's prices adds what is planned from then on, one row for each time
-- at which the price changes; the rows of the next change, with a later recorded_at, replace what had not come yet.
CREATE TABLE price_history (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id  uuid        NOT NULL,
    sku         text        NOT NULL,
    currency    text        NOT NULL,
    price       bigint,
    list_id     uuid,
    starts_at   timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL
);
COMMENT ON COLUMN price_history.price IS 'Null while the variant was not on sale.';
CREATE INDEX price_history_of_product ON price_history (product_id, id);

CREATE FUNCTION price_history_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the history of prices is append-only' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER price_history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON price_history
    FOR EACH STATEMENT EXECUTE FUNCTION price_history_is_append_only();

-- The currency of the shop is known to its services only; the lines that variants are sold by state it.
INSERT INTO price_history (product_id, sku, currency, price, starts_at, recorded_at)
SELECT product_id, sku, ('{' || card || '}')::json->'unit_price'->>'currency', price, greatest(now(), publish_at), now()
FROM variant WHERE on_sale AND publish_at IS DISTINCT FROM 'infinity';

-- The plan of a variant with more than its own price: what is in force when, from each quantity on. It is made anew with
-- each change of its prices.
CREATE TABLE price_period (
    product_id       uuid        NOT NULL REFERENCES product (id),
    sku              text        NOT NULL,
    min_quantity     integer     NOT NULL,
    starts_at        timestamptz NOT NULL,
    ends_at          timestamptz,
    price            bigint      NOT NULL,
    compare_at_price bigint,
    prior_price      bigint,
    PRIMARY KEY (product_id, sku, min_quantity, starts_at)
);
COMMENT ON COLUMN price_period.prior_price IS 'The lowest price of the 30 days before a reduction.';

ALTER TABLE variant ADD COLUMN has_price_plan boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN variant.has_price_plan IS 'Whether it has other prices than its own, so that price_period says which is in force.';
ALTER TABLE product
    ADD COLUMN planned_prices     text,
    ADD COLUMN planned_prices_end timestamptz;
COMMENT ON COLUMN product.price IS 'Of the cheapest variant, in minor units; of a plan until planned_prices_end.';
COMMENT ON COLUMN product.planned_prices IS 'What planned_prices() returns until planned_prices_end; null without a plan.';
CREATE INDEX product_by_planned_prices_end ON product (planned_prices_end) WHERE planned_prices_end IS NOT NULL;

CREATE FUNCTION planned_prices(planned_product uuid) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT json_agg(
        json_build_array(p.sku, p.min_quantity, p.price, p.compare_at_price, p.prior_price)
        ORDER BY p.sku, p.min_quantity
    )::text
    FROM price_period p
    WHERE p.product_id = planned_product AND p.starts_at <= now() AND (p.ends_at IS NULL OR p.ends_at > now())
$$;
COMMENT ON FUNCTION planned_prices IS 'JSON rows of SKU, quantity, price, compare-at and prior price in force at this moment.';

CREATE FUNCTION planned_price(planned_product uuid, planned_sku text, quantity integer, at timestamptz) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT p.price FROM price_period p
    WHERE p.product_id = planned_product AND p.sku = planned_sku AND p.min_quantity <= quantity
        AND p.starts_at <= at AND (p.ends_at IS NULL OR p.ends_at > at)
    ORDER BY p.min_quantity DESC LIMIT 1
$$;

-- In the JSON of a line, quotation marks of texts are escaped, so no text can look like its price.
CREATE FUNCTION line_at_price(line text, price bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(regexp_replace(line, '"unit_price":\{"amount":\d+', '"unit_price":{"amount":' || price), line);
