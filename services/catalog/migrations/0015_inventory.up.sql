-- SKUs that are not tracked, and SKUs that are sold below zero. An event when few units are left.

ALTER TABLE stock
    ADD COLUMN is_tracked boolean NOT NULL DEFAULT true,
    ADD COLUMN backorder  boolean NOT NULL DEFAULT false,
    ADD COLUMN oversold   bigint  NOT NULL DEFAULT 0;
COMMENT ON COLUMN stock.is_tracked IS 'Whether orders take units. Without that the SKU can always be ordered.';
COMMENT ON COLUMN stock.backorder IS 'Whether it can be ordered when no unit is left: more may be reserved than is on hand.';
COMMENT ON COLUMN stock.oversold IS 'Units that were missing when the SKU became an ordinary one: so many may still be missing.';

ALTER TABLE stock DROP CONSTRAINT stock_law;
ALTER TABLE stock ADD CONSTRAINT stock_law CHECK (
    0 <= oversold AND 0 <= reserved AND (reserved - on_hand <= oversold OR backorder OR NOT is_tracked)
) NOT VALID;
COMMENT ON CONSTRAINT stock_law ON stock IS 'Not validated: the rows that are here obey the narrower one before it.';

ALTER TABLE hold ADD COLUMN untracked text[];
COMMENT ON COLUMN hold.untracked IS 'Its SKUs that were not tracked: their lines take and return no units. Null for none.';

CREATE OR REPLACE VIEW stock_out_of_balance AS
SELECT s.sku, s.on_hand, coalesce(m.quantity, 0) AS moved, s.reserved, coalesce(h.quantity, 0) AS held
FROM stock s
LEFT JOIN (SELECT sku, sum(quantity) AS quantity FROM stock_movement GROUP BY sku) m ON m.sku = s.sku
LEFT JOIN (
    SELECT l.sku, sum(l.quantity) AS quantity
    FROM hold, unnest(skus, quantities) AS l (sku, quantity)
    WHERE taken = 'reserved' AND (untracked IS NULL OR l.sku <> ALL (untracked)) GROUP BY l.sku
) h ON h.sku = s.sku
WHERE s.on_hand <> coalesce(m.quantity, 0) OR s.reserved <> coalesce(h.quantity, 0);

-- Lists ask whether a SKU can be ordered, which is more than whether units are left.
CREATE OR REPLACE TRIGGER stock_sold_out AFTER UPDATE ON stock
    FOR EACH ROW WHEN (
        (old.on_hand > old.reserved OR old.backorder OR NOT old.is_tracked)
            <> (new.on_hand > new.reserved OR new.backorder OR NOT new.is_tracked)
        OR old.product_id IS DISTINCT FROM new.product_id
    ) EXECUTE FUNCTION record_product_change();

-- The event leaves with the transaction that takes the units, without a statement of its own. The threshold is a setting
-- of the connection; without it there are no events.
CREATE FUNCTION publish_low_stock() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (id, subject, type, source, body, traceparent, request_id)
    VALUES (
        gen_random_uuid(), 'event.catalog.' || new.product_id || '.stock_low', 'souk.catalog.stock_low', '/souk/catalog',
        json_build_object(
            'product_id', new.product_id, 'sku', new.sku, 'available', new.on_hand - new.reserved,
            'threshold', current_setting('souk.low_stock_threshold')::bigint
        ),
        '00-' || replace(gen_random_uuid()::text, '-', '') || '-' || left(replace(gen_random_uuid()::text, '-', ''), 16)
            || '-00',
        ''
    );
    RETURN NULL;
END;
$$;
CREATE TRIGGER stock_low AFTER UPDATE ON stock
    FOR EACH ROW WHEN (
        new.on_hand - new.reserved < old.on_hand - old.reserved
        AND old.is_tracked AND new.is_tracked AND new.product_id IS NOT NULL
        AND new.on_hand - new.reserved <= nullif(current_setting('souk.low_stock_threshold', true), '')::bigint
        AND old.on_hand - old.reserved > nullif(current_setting('souk.low_stock_threshold', true), '')::bigint
    ) EXECUTE FUNCTION publish_low_stock();

-- The lines of holds. `is_here` is as before; a line takes stock where the SKU was tracked when the hold took its units.
DROP FUNCTION hold_lines;
CREATE FUNCTION hold_lines(ids uuid[])
RETURNS TABLE (hold_id uuid, sku text, quantity integer, is_here boolean, takes_stock boolean)
LANGUAGE sql STABLE AS $$
    SELECT h.id, l.sku, l.quantity, here.it_is, here.it_is AND (h.untracked IS NULL OR l.sku <> ALL (h.untracked))
    FROM hold h CROSS JOIN LATERAL unnest(h.skus, h.quantities, coalesce(h.product_ids, CASE WHEN h.answer <> '' THEN ARRAY(
        SELECT (line->>'product_id')::uuid FROM json_array_elements(h.answer::json->'lines') line
    ) END)) AS l (sku, quantity, product_id)
    LEFT JOIN stock s ON s.sku = l.sku
    CROSS JOIN LATERAL (SELECT
        h.taken = 'reserved' OR coalesce(coalesce(s.product_id, s.owner_id) = l.product_id, s.sku IS NOT NULL)
    ) AS here (it_is)
    WHERE h.id = ANY (ids)
$$;

-- As before, but lines that take no stock move none. An order that is paid after its hold has ended takes units where the
-- SKU is tracked by then, and finds enough where it is sold below zero.
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
        WHERE h.id = ANY (ids) AND h.taken <> 'nothing' AND l.takes_stock
        GROUP BY l.sku
    ) d
    WHERE s.sku = d.sku;

    FOR late IN SELECT h.id, h.order_id, h.skus, h.quantities FROM hold h
                WHERE h.id = ANY (ids) AND h.taken = 'nothing' ORDER BY h.id
    LOOP
        IF EXISTS (
            SELECT FROM hold_lines(ARRAY[late.id]) l LEFT JOIN stock s ON s.sku = l.sku AND l.is_here
            WHERE s.sku IS NULL OR (s.is_tracked AND NOT s.backorder AND s.on_hand - s.reserved < l.quantity)
        ) THEN
            UPDATE hold h SET status = 'lost' WHERE h.id = late.id;
            hold_id := late.id;
            order_id := late.order_id;
            RETURN NEXT;
        ELSE
            UPDATE hold h SET untracked = (
                SELECT array_agg(s.sku) FROM stock s WHERE s.sku = ANY (late.skus) AND NOT s.is_tracked
            ) WHERE h.id = late.id;
            UPDATE stock s SET on_hand = s.on_hand - l.quantity
            FROM unnest(late.skus, late.quantities) AS l (sku, quantity) WHERE s.sku = l.sku AND s.is_tracked;
        END IF;
    END LOOP;

    INSERT INTO stock_movement (sku, kind, quantity, hold_id)
    SELECT l.sku, CASE WHEN h.wanted = 'sold' THEN 'sold' ELSE 'returned' END,
           CASE WHEN h.wanted = 'sold' THEN -l.quantity ELSE l.quantity END, h.id
    FROM hold h JOIN hold_lines(ids) l ON l.hold_id = h.id
    WHERE h.id = ANY (ids) AND h.wanted <> h.taken AND 'sold' IN (h.wanted, h.taken) AND l.takes_stock;

    UPDATE hold h SET taken = h.wanted WHERE h.id = ANY (ids) AND h.wanted <> h.taken;
END;
$$;

-- Each line is at the price in force for its quantity, and states how it is taxed and shipped. A SKU that is not tracked
-- gives no units, and one that is sold below zero always has enough.
CREATE OR REPLACE FUNCTION place_hold(
    hold_id uuid, print bytea, asked_skus text[], asked_quantities integer[], seconds integer, currency text
) RETURNS TABLE (outcome text, body text)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    known record;
    ends timestamptz := clock_timestamp() + make_interval(secs => seconds);
    lines text;
    products uuid[];
    free text[];
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

    SELECT string_agg(
               '{' || CASE WHEN v.has_price_plan
                   THEN line_at_price(v.card, planned_price(v.product_id, v.sku, l.quantity, clock_timestamp())) ELSE v.card
               END || ',"tax_category":"' || v.tax_category || '","requires_shipping":' || v.requires_shipping
                   || ',"weight_grams":' || coalesce(v.weight_grams::text, 'null') || ',"quantity":' || l.quantity || '}',
               ',' ORDER BY l.position
           ),
           json_agg(l.sku) FILTER (WHERE v.sku IS NULL),
           json_object_agg(l.sku, greatest(s.on_hand - s.reserved, 0)) FILTER (
               WHERE s.on_hand - s.reserved < l.quantity AND s.is_tracked AND NOT s.backorder
           ),
           array_agg(v.product_id ORDER BY l.position),
           array_agg(l.sku) FILTER (WHERE NOT s.is_tracked)
    INTO lines, unknown, short, products, free
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
                          skus = asked_skus, quantities = asked_quantities, product_ids = products,
                          untracked = free
        WHERE h.id = place_hold.hold_id;
    ELSE
        INSERT INTO hold (
            id, status, taken, fingerprint, skus, quantities, product_ids, untracked, answer, expires_at
        ) VALUES (
            place_hold.hold_id, 'held', 'reserved', print, asked_skus, asked_quantities, products, free, lines, ends
        )
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN QUERY SELECT 'again', NULL::text;
            RETURN;
        END IF;
    END IF;
    UPDATE stock s SET reserved = s.reserved + l.quantity
    FROM unnest(asked_skus, asked_quantities) AS l (sku, quantity) WHERE s.sku = l.sku AND s.is_tracked;
    RETURN QUERY SELECT 'held', lines;
END;
$$;

-- As before. Orders cannot use up what does not end with the units on hand, so guests may hold any number of it.
CREATE OR REPLACE FUNCTION place_guest_hold(
    hold_id uuid, print bytea, asked_skus text[], asked_quantities integer[], seconds integer, currency text,
    order_share double precision, total_share double precision
) RETURNS TABLE (outcome text, body text)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    limited json;
    is_short boolean;
BEGIN
    PERFORM 1 FROM hold h WHERE h.id = place_guest_hold.hold_id FOR UPDATE;
    IF NOT EXISTS (
        SELECT FROM hold h WHERE h.id = place_guest_hold.hold_id
            AND (h.status IN ('sold', 'cancelled') OR (h.status = 'held' AND h.expires_at > clock_timestamp()))
    ) THEN
        PERFORM 1 FROM stock s WHERE s.sku = ANY (asked_skus) ORDER BY s.sku FOR UPDATE;

        WITH held AS (
            SELECT l.sku, sum(l.quantity) AS quantity
            FROM hold h, unnest(h.skus, h.quantities) AS l (sku, quantity)
            WHERE h.by_guest AND h.taken = 'reserved' AND h.skus && asked_skus AND h.id <> place_guest_hold.hold_id
                AND (h.untracked IS NULL OR l.sku <> ALL (h.untracked))
            GROUP BY l.sku
        ), line AS (
            SELECT l.sku, l.quantity, s.on_hand - s.reserved AS available, least(
                greatest(ceil(round((s.on_hand * order_share)::numeric, 6)), 5),
                ceil(round((s.on_hand * total_share)::numeric, 6)) - coalesce(held.quantity, 0)
            )::bigint AS allowed
            FROM unnest(asked_skus, asked_quantities) AS l (sku, quantity)
            JOIN stock s ON s.sku = l.sku AND s.is_tracked AND NOT s.backorder
            LEFT JOIN held ON held.sku = l.sku
        )
        SELECT json_object_agg(line.sku, greatest(line.allowed, 0)) FILTER (WHERE line.allowed < line.quantity),
               coalesce(bool_or(line.available < line.quantity), false)
        INTO limited, is_short FROM line;
        IF limited IS NOT NULL AND NOT is_short THEN
            RETURN QUERY SELECT 'limited', limited::text;
            RETURN;
        END IF;
    END IF;

    SELECT placed.outcome, placed.body INTO outcome, body
    FROM place_hold(hold_id, print, asked_skus, asked_quantities, seconds, currency) AS placed;
    IF outcome = 'held' THEN
        UPDATE hold h SET by_guest = true WHERE h.id = place_guest_hold.hold_id AND NOT h.by_guest;
    END IF;
    RETURN NEXT;
END;
$$;
