-- Drafts and scheduled products, old slugs, and products off sale that leave their slug and their SKUs to others.

ALTER TABLE product ADD COLUMN publish_at timestamptz;
COMMENT ON COLUMN product.publish_at IS 'An active product is on sale from then on: null for ever, infinity for a draft.';
COMMENT ON COLUMN product.is_active IS 'Whether the slug and the SKUs are its own; it is on sale once it is published, too.';
ALTER TABLE variant ADD COLUMN publish_at timestamptz;
COMMENT ON COLUMN variant.publish_at IS 'That of its product.';
CREATE INDEX product_by_publication ON product (publish_at) WHERE publish_at IS NOT NULL;
CREATE INDEX product_off_sale ON product (id) WHERE NOT is_active;

CREATE UNIQUE INDEX product_slug_in_use ON product (slug) WHERE is_active;
CREATE INDEX product_by_slug ON product (slug);
ALTER TABLE product DROP CONSTRAINT product_slug;

CREATE TABLE old_slug (
    slug       text PRIMARY KEY,
    product_id uuid NOT NULL REFERENCES product (id)
);
COMMENT ON TABLE old_slug IS 'Slugs that products had, each with the last one. A product that has the slug now comes first.';

CREATE TABLE freed_variant (
    product_id       uuid    NOT NULL,
    sku              text    NOT NULL,
    position         integer NOT NULL,
    options          jsonb   NOT NULL,
    price            bigint  NOT NULL,
    compare_at_price bigint,
    weight_grams     integer,
    PRIMARY KEY (product_id, sku)
);
COMMENT ON TABLE freed_variant IS 'Variants of products off sale whose SKU another product has taken.';
COMMENT ON COLUMN freed_variant.product_id IS 'No reference: its check would wait for a change of that product, and that for us.';

-- A SKU may pass from one product to another, and with it the row of its stock, but not the units: they are other goods.
ALTER TABLE stock ADD COLUMN owner_id uuid;
COMMENT ON COLUMN stock.owner_id IS 'The product that had the SKU last, when none has it now: the units are its goods.';
ALTER TABLE hold ADD COLUMN product_ids uuid[];
COMMENT ON COLUMN hold.product_ids IS 'The product of each SKU; null in holds of an older release, whose answer names them.';

-- The lines of holds. A line is not here when the SKU counts the units of another product by now. It does not pass to
-- another one while units are reserved.
CREATE FUNCTION hold_lines(ids uuid[]) RETURNS TABLE (hold_id uuid, sku text, quantity integer, is_here boolean)
LANGUAGE sql STABLE AS $$
    SELECT h.id, l.sku, l.quantity,
           h.taken = 'reserved' OR coalesce(coalesce(s.product_id, s.owner_id) = l.product_id, s.sku IS NOT NULL)
    FROM hold h CROSS JOIN LATERAL unnest(h.skus, h.quantities, coalesce(h.product_ids, CASE WHEN h.answer <> '' THEN ARRAY(
        SELECT (line->>'product_id')::uuid FROM json_array_elements(h.answer::json->'lines') line
    ) END)) AS l (sku, quantity, product_id)
    LEFT JOIN stock s ON s.sku = l.sku
    WHERE h.id = ANY (ids)
$$;

-- As before, but lines that are not here move no stock: what comes back is not counted as the other product's units,
-- and an order that is paid after its hold has ended does not get them.
CREATE OR REPLACE FUNCTION settle_holds(most integer, one uuid DEFAULT NULL) RETURNS TABLE (hold_id uuid, order_id uuid)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    ids uuid[];
    late record;
BEGIN
    IF one IS NOT NULL THEN
        SELECT array_agg(h.id) INTO ids FROM hold h WHERE h.id = one AND h.wanted <> h.taken;
    ELSE
        SELECT array_agg(due.id) INTO ids FROM (
            SELECT h.id FROM hold h WHERE h.wanted <> h.taken ORDER BY h.id LIMIT most FOR UPDATE SKIP LOCKED
        ) due;
    END IF;
    IF ids IS NULL THEN
        RETURN;
    END IF;

    PERFORM 1 FROM stock s
    WHERE s.sku = ANY (ARRAY(SELECT unnest(h.skus) FROM hold h WHERE h.id = ANY (ids)))
    ORDER BY s.sku FOR UPDATE;

    UPDATE stock s SET on_hand = s.on_hand + d.on_hand, reserved = s.reserved - d.reserved
    FROM (
        SELECT l.sku,
               sum(l.quantity * ((h.taken = 'sold')::int - (h.wanted = 'sold')::int)) AS on_hand,
               sum(l.quantity * (h.taken = 'reserved')::int) AS reserved
        FROM hold h JOIN hold_lines(ids) l ON l.hold_id = h.id
        WHERE h.id = ANY (ids) AND h.taken <> 'nothing' AND l.is_here
        GROUP BY l.sku
    ) d
    WHERE s.sku = d.sku;

    FOR late IN SELECT h.id, h.order_id, h.skus, h.quantities FROM hold h
                WHERE h.id = ANY (ids) AND h.taken = 'nothing' ORDER BY h.id
    LOOP
        IF EXISTS (
            SELECT FROM hold_lines(ARRAY[late.id]) l LEFT JOIN stock s ON s.sku = l.sku AND l.is_here
            WHERE s.sku IS NULL OR s.on_hand - s.reserved < l.quantity
        ) THEN
            UPDATE hold h SET status = 'lost' WHERE h.id = late.id;
            hold_id := late.id;
            order_id := late.order_id;
            RETURN NEXT;
        ELSE
            UPDATE stock s SET on_hand = s.on_hand - l.quantity
            FROM unnest(late.skus, late.quantities) AS l (sku, quantity) WHERE s.sku = l.sku;
        END IF;
    END LOOP;

    INSERT INTO stock_movement (sku, kind, quantity, hold_id)
    SELECT l.sku, CASE WHEN h.wanted = 'sold' THEN 'sold' ELSE 'returned' END,
           CASE WHEN h.wanted = 'sold' THEN -l.quantity ELSE l.quantity END, h.id
    FROM hold h JOIN hold_lines(ids) l ON l.hold_id = h.id
    WHERE h.id = ANY (ids) AND h.wanted <> h.taken AND 'sold' IN (h.wanted, h.taken) AND l.is_here;

    UPDATE hold h SET taken = h.wanted WHERE h.id = ANY (ids) AND h.wanted <> h.taken;
END;
$$;

-- As before, but a SKU is unknown until its product is published, and the hold keeps the product of each SKU: it cannot
-- be made again for other goods.
CREATE OR REPLACE FUNCTION place_hold(
    hold_id uuid, print bytea, asked_skus text[], asked_quantities integer[], seconds integer, currency text
) RETURNS TABLE (outcome text, body text)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    known record;
    ends timestamptz := clock_timestamp() + make_interval(secs => seconds);
    lines text;
    products uuid[];
    unknown json;
    short json;
    is_known boolean;
BEGIN
    SELECT h.status, h.fingerprint, h.taken, h.answer, h.expires_at > clock_timestamp() AS lasts, h.product_ids INTO known
    FROM hold h WHERE h.id = place_hold.hold_id FOR UPDATE;
    is_known := FOUND;
    IF is_known THEN
        IF known.status = 'cancelled' OR known.fingerprint <> print THEN
            RETURN QUERY SELECT CASE known.status WHEN 'cancelled' THEN 'cancelled' ELSE 'mismatch' END, NULL::text;
            RETURN;
        ELSIF known.status = 'sold' OR (known.status = 'held' AND known.lasts) THEN
            RETURN QUERY SELECT 'held', known.answer;
            RETURN;
        END IF;
        UPDATE hold h SET status = 'released' WHERE h.id = place_hold.hold_id AND h.status = 'held';
        PERFORM settle_holds(1, place_hold.hold_id);
    END IF;

    PERFORM 1 FROM stock s WHERE s.sku = ANY (asked_skus) ORDER BY s.sku FOR UPDATE;

    SELECT string_agg('{' || v.card || ',"quantity":' || l.quantity || '}', ',' ORDER BY l.position),
           json_agg(l.sku) FILTER (WHERE v.sku IS NULL),
           json_object_agg(l.sku, s.on_hand - s.reserved) FILTER (WHERE s.on_hand - s.reserved < l.quantity),
           array_agg(v.product_id ORDER BY l.position)
    INTO lines, unknown, short, products
    FROM unnest(asked_skus, asked_quantities) WITH ORDINALITY AS l (sku, quantity, position)
    LEFT JOIN (variant v JOIN stock s ON s.sku = v.sku) ON v.sku = l.sku AND v.on_sale
        AND (v.publish_at IS NULL OR v.publish_at <= clock_timestamp());
    IF unknown IS NOT NULL THEN
        RETURN QUERY SELECT 'unknown', unknown::text;
        RETURN;
    ELSIF short IS NOT NULL THEN
        RETURN QUERY SELECT 'short', short::text;
        RETURN;
    ELSIF is_known AND known.product_ids <> products THEN
        RETURN QUERY SELECT 'mismatch', NULL::text;
        RETURN;
    END IF;

    lines := '{"hold_id":"' || place_hold.hold_id || '","lines":[' || lines || '],"currency":"' || currency
        || '","expires_at":"' || to_char(ends AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"}';
    IF is_known THEN
        UPDATE hold h SET status = 'held', taken = 'reserved', answer = lines, expires_at = ends,
                          skus = asked_skus, quantities = asked_quantities, product_ids = products
        WHERE h.id = place_hold.hold_id;
    ELSE
        INSERT INTO hold (id, status, taken, fingerprint, skus, quantities, product_ids, answer, expires_at)
        VALUES (place_hold.hold_id, 'held', 'reserved', print, asked_skus, asked_quantities, products, lines, ends)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN QUERY SELECT 'again', NULL::text;
            RETURN;
        END IF;
    END IF;
    UPDATE stock s SET reserved = s.reserved + l.quantity
    FROM unnest(asked_skus, asked_quantities) AS l (sku, quantity) WHERE s.sku = l.sku;
    RETURN QUERY SELECT 'held', lines;
END;
$$;
