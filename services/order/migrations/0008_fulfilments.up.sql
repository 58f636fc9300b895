-- The parcels in which an order leaves, and the units that are cancelled before they leave. They lie in the order's row,
-- so that its lock is enough to keep two processes from sending or cancelling the same unit; the table finds the order of
-- a parcel.
ALTER TABLE orders
    ADD COLUMN fulfilments   jsonb,
    ADD COLUMN cancellations jsonb;
COMMENT ON COLUMN orders.cancellations IS 'Null until units are cancelled. The units of each line are in items.';
COMMENT ON COLUMN orders.fulfilments IS
    'Null until a parcel has left. An order that was shipped before parcels were stored is read as one parcel.';

CREATE TABLE fulfilment (
    id       uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES orders
);
CREATE INDEX fulfilment_of_order ON fulfilment (order_id);

-- Whether the parcels hold no more than what was ordered and not cancelled, and the status agrees with them: an order is
-- paid until everything has left, and an order of which a part has left cannot be cancelled as a whole.
CREATE FUNCTION fulfilments_fit(status text, items jsonb, fulfilments jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    WITH ordered AS (
        SELECT item ->> 'sku' AS sku, sum((item ->> 'quantity')::int - coalesce((item ->> 'cancelled')::int, 0)) AS units
        FROM jsonb_array_elements(items) AS item GROUP BY 1
    ), gone AS (
        SELECT line ->> 'sku' AS sku, sum((line ->> 'quantity')::int) AS units
        FROM jsonb_array_elements(fulfilments) AS parcel, jsonb_array_elements(parcel -> 'items') AS line GROUP BY 1
    ), line AS (
        SELECT coalesce(ordered.units, 0) AS ordered, coalesce(gone.units, 0) AS gone
        FROM ordered FULL JOIN gone ON gone.sku = ordered.sku
    )
    SELECT bool_and(gone <= ordered) AND CASE
        WHEN status = 'paid' THEN bool_or(gone < ordered)
        WHEN status IN ('shipped', 'delivered') THEN bool_and(gone = ordered)
        WHEN status = 'cancelled' THEN fulfilments IS NULL
        ELSE status = 'refunded'
    END
    FROM line
$$;
-- Not validated: no row has parcels or cancelled units yet.
ALTER TABLE orders ADD CONSTRAINT orders_fulfilments_fit CHECK (
    (fulfilments IS NULL AND cancellations IS NULL) OR fulfilments_fit(status, items, fulfilments)
) NOT VALID;
