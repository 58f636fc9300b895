DROP TRIGGER stock_low ON stock;
DROP FUNCTION publish_low_stock;
CREATE OR REPLACE TRIGGER stock_sold_out AFTER UPDATE ON stock
    FOR EACH ROW WHEN (
        (old.on_hand > old.reserved) <> (new.on_hand > new.reserved) OR old.product_id IS DISTINCT FROM new.product_id
    ) EXECUTE FUNCTION record_product_change();

-- As if the units that were not counted had been put in, and taken.
CREATE TEMPORARY TABLE free_line ON COMMIT DROP AS
SELECT h.id AS hold_id, h.taken, l.sku, l.quantity
FROM hold h, unnest(h.skus, h.quantities) AS l (sku, quantity)
WHERE l.sku = ANY (h.untracked) AND h.taken <> 'nothing';
INSERT INTO stock_movement (sku, kind, quantity, reason)
SELECT sku, 'adjusted', sum(quantity), 'units that were not tracked' FROM free_line GROUP BY sku;
INSERT INTO stock_movement (sku, kind, quantity, hold_id)
SELECT sku, 'sold', -quantity, hold_id FROM free_line WHERE taken = 'sold';
UPDATE stock s SET on_hand = s.on_hand + f.quantity, reserved = s.reserved + f.quantity
FROM (SELECT sku, sum(quantity) AS quantity FROM free_line WHERE taken = 'reserved' GROUP BY sku) f
WHERE s.sku = f.sku;
ALTER TABLE stock DROP CONSTRAINT stock_law;
INSERT INTO stock_movement (sku, kind, quantity, reason)
SELECT sku, 'adjusted', reserved - on_hand, 'units sold below zero' FROM stock WHERE on_hand < reserved;
UPDATE stock SET on_hand = reserved WHERE on_hand < reserved;
ALTER TABLE stock ADD CONSTRAINT stock_law CHECK (0 <= reserved AND reserved <= on_hand);

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
            GROUP BY l.sku
        ), line AS (
            SELECT l.sku, l.quantity, s.on_hand - s.reserved AS available, least(
                greatest(ceil(round((s.on_hand * order_share)::numeric, 6)), 5),
                ceil(round((s.on_hand * total_share)::numeric, 6)) - coalesce(held.quantity, 0)
            )::bigint AS allowed
            FROM unnest(asked_skus, asked_quantities) AS l (sku, quantity)
            JOIN stock s ON s.sku = l.sku
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

DROP FUNCTION hold_lines;
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

CREATE OR REPLACE VIEW stock_out_of_balance AS
SELECT s.sku, s.on_hand, coalesce(m.quantity, 0) AS moved, s.reserved, coalesce(h.quantity, 0) AS held
FROM stock s
LEFT JOIN (SELECT sku, sum(quantity) AS quantity FROM stock_movement GROUP BY sku) m ON m.sku = s.sku
LEFT JOIN (
    SELECT l.sku, sum(l.quantity) AS quantity
    FROM hold, unnest(skus, quantities) AS l (sku, quantity) WHERE taken = 'reserved' GROUP BY l.sku
) h ON h.sku = s.sku
WHERE s.on_hand <> coalesce(m.quantity, 0) OR s.reserved <> coalesce(h.quantity, 0);
ALTER TABLE hold DROP COLUMN untracked;
ALTER TABLE stock DROP COLUMN oversold, DROP COLUMN backorder, DROP COLUMN is_tracked;
