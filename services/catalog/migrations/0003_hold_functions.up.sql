-- The whole of a hold in one round trip. Locks are always taken in the order hold, then stock by SKU.

-- Moves stock to what holds want: one of them, or those that nobody is at. Returns those whose stock was taken by others.
CREATE FUNCTION settle_holds(most integer, one uuid DEFAULT NULL) RETURNS TABLE (hold_id uuid, order_id uuid)
LANGUAGE plpgsql AS $$
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
        FROM hold h, unnest(h.skus, h.quantities) AS l (sku, quantity)
        WHERE h.id = ANY (ids) AND h.taken <> 'nothing'
        GROUP BY l.sku
    ) d
    WHERE s.sku = d.sku;

    FOR late IN SELECT h.id, h.order_id, h.skus, h.quantities FROM hold h
                WHERE h.id = ANY (ids) AND h.taken = 'nothing' ORDER BY h.id
    LOOP
        IF EXISTS (
            SELECT FROM unnest(late.skus, late.quantities) AS l (sku, quantity) LEFT JOIN stock s ON s.sku = l.sku
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
    FROM hold h, unnest(h.skus, h.quantities) AS l (sku, quantity)
    WHERE h.id = ANY (ids) AND h.wanted <> h.taken AND 'sold' IN (h.wanted, h.taken);

    UPDATE hold h SET taken = h.wanted WHERE h.id = ANY (ids) AND h.wanted <> h.taken;
END;
$$;

-- Prices and sets aside every line or none. Outcomes: held (body is the answer), mismatch, cancelled, unknown and short
-- (body lists the SKUs, with what is left), again (another ask for the same hold was first: ask anew).
CREATE FUNCTION place_hold(
    hold_id uuid, print bytea, asked_skus text[], asked_quantities integer[], seconds integer, currency text
) RETURNS TABLE (outcome text, body text)
LANGUAGE plpgsql AS $$
DECLARE
    known record;
    ends timestamptz := clock_timestamp() + make_interval(secs => seconds);
    lines text;
    unknown json;
    short json;
    is_known boolean;
BEGIN
    SELECT h.status, h.fingerprint, h.taken, h.answer, h.expires_at > clock_timestamp() AS lasts INTO known
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
           json_object_agg(l.sku, s.on_hand - s.reserved) FILTER (WHERE s.on_hand - s.reserved < l.quantity)
    INTO lines, unknown, short
    FROM unnest(asked_skus, asked_quantities) WITH ORDINALITY AS l (sku, quantity, position)
    LEFT JOIN (variant v JOIN stock s ON s.sku = v.sku) ON v.sku = l.sku AND v.on_sale;
    IF unknown IS NOT NULL THEN
        RETURN QUERY SELECT 'unknown', unknown::text;
        RETURN;
    ELSIF short IS NOT NULL THEN
        RETURN QUERY SELECT 'short', short::text;
        RETURN;
    END IF;

    lines := '{"hold_id":"' || place_hold.hold_id || '","lines":[' || lines || '],"currency":"' || currency
        || '","expires_at":"' || to_char(ends AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"}';
    IF is_known THEN
        UPDATE hold h SET status = 'held', taken = 'reserved', answer = lines, expires_at = ends,
                          skus = asked_skus, quantities = asked_quantities
        WHERE h.id = place_hold.hold_id;
    ELSE
        INSERT INTO hold (id, status, taken, fingerprint, skus, quantities, answer, expires_at)
        VALUES (place_hold.hold_id, 'held', 'reserved', print, asked_skus, asked_quantities, lines, ends)
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

-- Gives a hold back at once; what is sold, gone or unknown stays as it is.
CREATE FUNCTION release_hold(hold_id uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hold h SET status = 'released' WHERE h.id = release_hold.hold_id AND h.status = 'held';
    IF FOUND THEN
        PERFORM settle_holds(1, release_hold.hold_id);
    END IF;
END;
$$;
