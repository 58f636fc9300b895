"""What order offers to `souk verify`: its orders for comparison with other stores, and checks of its own."""

from infra.database.checks import Check, FactTable, RepairAction, RepairBy

REPAIR = RepairAction(RepairBy.SERVICE, "order", "order_id")

FACTS = (
    FactTable(
        "orders",
        (
            *("order_id", "status", "user_id", "hold_id", "cart_id", "currency", "total", "payment_id"),
            *("lines", "steps", "created"),
        ),
        """
        SELECT uuid_send(id), status, uuid_send(user_id), uuid_send(hold_id), cart_id, currency, total,
               uuid_send(payment_id),
               (SELECT string_agg(line.sku || '=' || line.quantity, ',' ORDER BY line.sku COLLATE "C")
                FROM (SELECT item ->> 'sku' AS sku, sum((item ->> 'quantity')::int) AS quantity
                      FROM jsonb_array_elements(items) AS item GROUP BY 1) AS line),
               (SELECT string_agg(CASE step ->> 'status' WHEN 'pending' THEN 'placed' ELSE step ->> 'status' END,
                                  ',' ORDER BY number)
                FROM jsonb_array_elements(history) WITH ORDINALITY AS entry (step, number)
                WHERE step ->> 'note' IS DISTINCT FROM 'address changed'),
               extract(epoch FROM created_at)::bigint
        FROM orders ORDER BY id
        """,
        indexes=("order_id", "hold_id", "cart_id", "payment_id"),
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
