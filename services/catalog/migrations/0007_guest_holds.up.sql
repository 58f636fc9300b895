-- Guests may hold only a part of a SKU's stock: one order of them, and all of their unpaid orders together.
ALTER TABLE hold ADD COLUMN by_guest boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN hold.by_guest IS 'Whether it counts towards what guests may hold together while it reserves stock.';
CREATE INDEX hold_of_guests ON hold USING gin (skus) WHERE by_guest AND taken = 'reserved';

-- place_hold() for a guest's order. A share is of the units on hand, rounded up: at least one unit. One order may
-- always take five units of those, so that few units left do not end a guest's shopping. One more outcome:
-- limited (body lists the SKUs, with what the guest may hold).
CREATE FUNCTION place_guest_hold(
    hold_id uuid, print bytea, asked_skus text[], asked_quantities integer[], seconds integer, currency text,
    order_share double precision, total_share double precision
) RETURNS TABLE (outcome text, body text)
LANGUAGE plpgsql AS $$
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
