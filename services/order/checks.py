"""What order offers to `souk verify`: its orders for comparison with other stores, and checks of its own."""

from infra.database.checks import Check, FactTable, RepairAction, RepairBy
from services.order.store.invoices import MISSING_INVOICES

REPAIR = RepairAction(RepairBy.SERVICE, "order", "order_id")

FACTS = (
    FactTable(
        "orders",
        (
            *("order_id", "status", "user_id", "hold_id", "cart_id", "currency", "total", "payment_id"),
            *("lines", "steps", "created", "parcels", "cancellations", "gift_card_total"),
            "gift_card_hold_id",
        ),
        """
        SELECT uuid_send(id), status, uuid_send(user_id), uuid_send(hold_id), cart_id, currency, total,
               uuid_send(payment_id),
               (SELECT string_agg(line.sku || '=' || line.quantity, ',' ORDER BY line.sku COLLATE "C")
                FROM (SELECT item ->> 'sku' AS sku,
                             sum((item ->> 'quantity')::int - coalesce((item ->> 'cancelled')::int, 0)) AS quantity
                      FROM jsonb_array_elements(items) AS item GROUP BY 1) AS line
                WHERE line.quantity > 0),
               (SELECT string_agg(CASE step ->> 'status' WHEN 'pending' THEN 'placed'
                                  WHEN 'paid' THEN 'paid' || CASE
                                      WHEN fulfilments IS NULL OR history @> '[{"status": "shipped"}]' THEN ''
                                      ELSE ',shipped'
                                  END
                                  ELSE step ->> 'status' END,
                                  ',' ORDER BY number)
                FROM jsonb_array_elements(history) WITH ORDINALITY AS entry (step, number)
                WHERE step ->> 'note' IS DISTINCT FROM 'address changed'),
               extract(epoch FROM created_at)::bigint, coalesce(jsonb_array_length(fulfilments), 0),
               coalesce(jsonb_array_length(cancellations), 0), gift_card_total, uuid_send(gift_card_hold_id)
        FROM orders ORDER BY id
        """,
        indexes=("order_id", "hold_id", "cart_id", "payment_id"),
    ),
    FactTable(
        "cancellation",
        ("cancellation_id", "order_id", "payment_id", "amount"),
        """
        SELECT uuid_send((cancellation ->> 'id')::uuid), uuid_send(orders.id), uuid_send(payment_id),
               (cancellation #>> '{amount,amount}')::bigint
        FROM orders, jsonb_array_elements(cancellations) AS cancellation
        WHERE cancellations IS NOT NULL ORDER BY orders.id
        """,
        indexes=("order_id",),
    ),
    FactTable(
        "invoice",
        ("order_id", "position", "refund_id", "total", "number", "sha256"),
        """
        SELECT uuid_send(order_id), position, uuid_send(refund_id), total,
               series || '-' || year || '-' || lpad(number::text, greatest(6, length(number::text)), '0'),
               encode(pdf_sha256, 'hex')
        FROM invoice ORDER BY order_id, position
        """,
        indexes=("order_id, position", "refund_id"),
    ),
)

CHECKS = (
    Check(
        2,
        "order_not_given_up",
        "An order that was not paid in time is still pending.",
        """
        SELECT uuid_send(id) AS order_id, 'payment was due by ' || pay_by AS detail FROM orders
        WHERE status = 'pending' AND pay_by < now() - interval '30 seconds' ORDER BY pay_by
        """,
        REPAIR,
    ),
    Check(
        3,
        "hold_ordered_twice",
        "Two orders use the same hold.",
        """
        SELECT uuid_send(hold_id) AS hold_id, count(*) || ' orders' AS detail FROM orders
        GROUP BY hold_id HAVING count(*) > 1
        """,
    ),
    Check(
        3,
        "cart_ordered_twice",
        "Two orders that are not cancelled were made from the same version of a cart.",
        """
        SELECT cart_id AS cart, cart_version::text AS version, count(*) || ' orders' AS detail FROM orders
        WHERE cart_id IS NOT NULL AND status <> 'cancelled' GROUP BY cart_id, cart_version HAVING count(*) > 1
        """,
    ),
    Check(
        6,
        "order_without_step",
        "The status of an order differs from the last entry of its history.",
        """
        SELECT uuid_send(id) AS order_id,
               status || ', but its history ends with ' || (history -> -1 ->> 'status') AS detail
        FROM orders WHERE history -> -1 ->> 'status' IS DISTINCT FROM status ORDER BY id
        """,
    ),
    Check(
        9,
        "fulfilments_do_not_fit",
        "The parcels and cancelled units of an order are more than was ordered or differ from its status, or a parcel "
        "cannot be found by its id.",
        """
        SELECT uuid_send(id) AS order_id,
               coalesce(jsonb_array_length(fulfilments), 0) || ' parcels, status ' || status AS detail
        FROM orders
        WHERE (fulfilments IS NOT NULL OR cancellations IS NOT NULL) AND (
            NOT fulfilments_fit(status, items, fulfilments)
            OR (status = 'shipped' AND NOT fulfilments @> '[{"status": "shipped"}]')
            OR (status = 'delivered' AND fulfilments @> '[{"status": "shipped"}]')
            OR EXISTS (
                SELECT FROM jsonb_array_elements(fulfilments) AS parcel LEFT JOIN fulfilment AS known
                    ON known.id = (parcel ->> 'id')::uuid AND known.order_id = orders.id
                WHERE known.id IS NULL
            )
            OR (SELECT sum((item ->> 'cancelled')::int) FROM jsonb_array_elements(items) AS item) <> (
                SELECT coalesce(sum((line ->> 'quantity')::int), 0)
                FROM jsonb_array_elements(cancellations) AS cancellation,
                     jsonb_array_elements(cancellation -> 'items') AS line
            )
        )
        ORDER BY id
        """,
    ),
    Check(
        4,
        "order_sums_wrong",
        "The amounts of an order do not add up: its items, its discount, its tax lines or its total.",
        """
        SELECT uuid_send(id) AS order_id,
               'subtotal ' || subtotal || ' of items ' || of_items || ', discount ' || discount || ' of items '
               || discount_of_items || ' and shipping ' || shipping_discount || ', tax ' || tax || ' of items '
               || tax_of_items || ' and of rates ' || tax_of_rates || ', total ' || total AS detail
        FROM orders
        CROSS JOIN LATERAL (
            SELECT coalesce(sum((item #>> '{line_total,amount}')::bigint), 0) AS of_items,
                   coalesce(sum((item #>> '{discount,amount}')::bigint), 0) AS discount_of_items,
                   coalesce(sum((
                       SELECT sum((line #>> '{amount,amount}')::bigint)
                       FROM jsonb_array_elements(
                           coalesce(item -> 'tax_lines', '[]') || coalesce(item -> 'shipping_tax_lines', '[]')
                       ) AS line
                   )), 0) AS tax_of_items
            FROM jsonb_array_elements(items) AS item
        ) AS by_item
        CROSS JOIN LATERAL (
            SELECT coalesce(sum((line #>> '{amount,amount}')::bigint), 0) AS tax_of_rates
            FROM jsonb_array_elements(tax_lines) AS line
        ) AS by_rate
        WHERE subtotal <> of_items OR discount <> discount_of_items + shipping_discount
            OR tax <> tax_of_items OR tax <> tax_of_rates
            OR total <> subtotal - discount + shipping + CASE WHEN tax_included THEN 0 ELSE tax END
        ORDER BY id
        """,
    ),
    Check(
        9,
        "invoice_numbers_have_gap",
        "The invoices of a series and year do not have the numbers from 1 to that of their counter.",
        """
        SELECT series, year::text AS year,
               coalesce(count, 0) || ' numbers from ' || coalesce(first, 0) || ' to ' || coalesce(last, 0)
               || ', the counter is at ' || coalesce(last_number, 0) AS detail
        FROM invoice_counter FULL JOIN (
            SELECT series, year, count(*) AS count, min(number) AS first, max(number) AS last
            FROM invoice GROUP BY series, year
        ) AS issued USING (series, year)
        WHERE (first, last, count) IS DISTINCT FROM (1::bigint, last_number, last_number)
        """,
    ),
    Check(
        4,
        "invoice_missing",
        "An order became paid and has no invoice.",
        f"SELECT uuid_send(id) AS order_id, 'no invoice' AS detail FROM ({MISSING_INVOICES}) AS missing",  # noqa: S608 - constants
        REPAIR,
    ),
    Check(
        4,
        "invoice_disagrees",
        "The amounts of an order and of its invoice differ, its credit notes exceed the invoice, or it was never paid.",
        """
        SELECT uuid_send(orders.id) AS order_id,
               'order ' || orders.total || ', tax ' || orders.tax || ' ' || orders.currency || '; invoice '
               || invoice.total || ', tax ' || invoice.tax || ' ' || invoice.currency || '; credited '
               || credited.total || ', tax ' || credited.tax AS detail
        FROM orders JOIN invoice ON order_id = orders.id AND position = 0
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(total), 0) AS total, coalesce(sum(tax), 0) AS tax
            FROM invoice AS note WHERE note.order_id = orders.id AND note.position > 0
        ) AS credited
        WHERE (orders.total, orders.tax, orders.currency) <> (invoice.total, invoice.tax, invoice.currency)
            OR credited.total > invoice.total OR credited.tax > invoice.tax OR orders.payment_id IS NULL
        ORDER BY orders.id
        """,
    ),
    Check(
        2,
        "invoice_not_rendered",
        "The PDF of an invoice could not be made several times, or was not made within a day.",
        """
        SELECT uuid_send(order_id) AS order_id, position::text AS position,
               coalesce(render_error, 'issued at ' || issued_at) AS detail
        FROM invoice
        WHERE pdf_sha256 IS NULL AND (render_failures >= 3 OR issued_at < now() - interval '1 day') ORDER BY issued_at
        """,
    ),
    Check(
        9,
        "coupon_uses_miscounted",
        "The counter of a coupon differs from the orders that use it, or exceeds its limit.",
        """
        SELECT uuid_send(id) AS coupon_id,
               'used ' || used || ' of ' || coalesce(max_uses::text, 'any number') || ', by ' || coalesce(uses, 0)
               || ' orders' AS detail
        FROM coupon LEFT JOIN (
            SELECT coupon_id, count(*) AS uses FROM coupon_use WHERE state <> 'released' GROUP BY coupon_id
        ) AS counted ON coupon_id = id
        WHERE used <> coalesce(uses, 0) OR used > max_uses ORDER BY id
        """,
    ),
    Check(
        9,
        "coupon_use_disagrees",
        "An order's use of its coupon does not follow from the order's status.",
        """
        SELECT uuid_send(id) AS order_id,
               'the use is ' || coalesce(state, 'missing') || ', the order ' || status AS detail
        FROM orders LEFT JOIN coupon_use ON order_id = id
        WHERE coalesce(state, 'none') <> CASE
            WHEN coupon IS NULL THEN 'none' WHEN status = 'pending' THEN 'reserved'
            WHEN status = 'cancelled' THEN 'released' ELSE 'spent'
        END
        ORDER BY id
        """,
        REPAIR,
    ),
)
