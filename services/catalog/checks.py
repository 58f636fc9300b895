"""The catalog's part of `souk verify`: its holds, and the checks of its stock and its ratings."""

from infra.database.checks import Check, FactTable, RepairAction, RepairBy

REPAIR_HOLD = RepairAction(RepairBy.SERVICE, "catalog", "hold_id")

FACTS = (
    FactTable(
        "hold",
        ("hold_id", "order_id", "status", "lines", "created"),
        """
        SELECT uuid_send(id), uuid_send(order_id), status,
               (SELECT string_agg(line.sku || '=' || line.quantity, ',' ORDER BY line.sku COLLATE "C")
                FROM unnest(skus, quantities) AS line (sku, quantity)),
               extract(epoch FROM created_at)::bigint
        FROM hold ORDER BY id
        """,
        indexes=("hold_id",),
    ),
)

CHECKS = (
    Check(
        1,
        "stock_out_of_bounds",
        "A SKU has more units reserved than on hand, or fewer than none.",
        """
        SELECT sku, on_hand || ' on hand, ' || reserved || ' reserved' AS detail FROM stock
        WHERE NOT (0 <= reserved AND reserved <= on_hand) ORDER BY sku
        """,
    ),
    Check(
        1,
        "stock_out_of_balance",
        "Units on hand differ from the sum of stock movements, or reserved units from the sum of holds.",
        """
        SELECT sku,
               on_hand || ' on hand, ' || moved || ' moved, ' || reserved || ' reserved, ' || held || ' held' AS detail
        FROM stock_out_of_balance ORDER BY sku
        """,
        RepairAction(RepairBy.SERVICE, "catalog", "sku"),
    ),
    Check(
        1,
        "stock_of_another_product",
        "A SKU that is on sale counts the units of another product than the one that sells it.",
        """
        SELECT v.sku, 'product ' || v.product_id || ', units of ' || coalesce(s.product_id::text, 'none') AS detail
        FROM variant v LEFT JOIN stock s ON s.sku = v.sku
        WHERE v.on_sale AND s.product_id IS DISTINCT FROM v.product_id ORDER BY v.sku
        """,
    ),
    Check(
        2,
        "hold_not_ended",
        "A hold has expired but still reserves stock.",
        """
        SELECT uuid_send(id) AS hold_id, 'expired at ' || expires_at AS detail FROM hold
        WHERE status = 'held' AND expires_at < now() - interval '30 seconds' ORDER BY expires_at
        """,
        REPAIR_HOLD,
    ),
    Check(
        2,
        "hold_not_settled",
        "The stock of a hold does not match its status.",
        """
        SELECT uuid_send(id) AS hold_id, 'stock is ' || taken || ', should be ' || wanted AS detail
        FROM hold WHERE wanted <> taken ORDER BY id
        """,
        REPAIR_HOLD,
        confirm_factor=3.0,
    ),
    Check(
        9,
        "rating_out_of_balance",
        "A product's rating is not that of its published reviews.",
        """
        WITH reviews AS (
            SELECT product_id, sum(rating) AS sum, count(*) AS count FROM review WHERE status = 'published'
            GROUP BY product_id
        )
        SELECT uuid_send(p.id) AS product_id,
               p.rating_sum || ' stars in ' || p.rating_count || ' reviews, should be ' || coalesce(r.sum, 0) || ' in '
               || coalesce(r.count, 0) AS detail
        FROM product p LEFT JOIN reviews r ON r.product_id = p.id
        WHERE (p.rating_sum, p.rating_count) <> (coalesce(r.sum, 0), coalesce(r.count, 0))
            OR p.rating_average <> coalesce(r.sum::float8 / r.count, 0)
        ORDER BY p.id
        """,
    ),
    Check(
        9,
        "shop_rating_out_of_balance",
        "The shop's rating is not that of all published reviews.",
        """
        SELECT s.sum || ' stars in ' || s.count || ' reviews, should be ' || r.sum || ' in ' || r.count AS detail
        FROM shop_rating s, (
            SELECT coalesce(sum(rating), 0) AS sum, count(*) AS count FROM review WHERE status = 'published'
        ) r WHERE (s.sum, s.count) <> (r.sum, r.count)
        """,
    ),
    Check(
        2,
        "import_stands_still",
        "No process works on a product import.",
        """
        SELECT uuid_send(id) AS import_id, status || ', last progress at ' || alive_at AS detail FROM import_job
        WHERE status IN ('queued', 'running') AND alive_at < now() - interval '15 minutes' ORDER BY id
        """,
    ),
)
