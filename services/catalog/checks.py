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
        "A SKU has more units reserved than on hand, and may not, or fewer than none.",
        """
        SELECT sku, on_hand || ' on hand, ' || reserved || ' reserved' AS detail FROM stock
        WHERE NOT (0 <= reserved AND (reserved - on_hand <= oversold OR backorder OR NOT is_tracked)) ORDER BY sku
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
        9,
        "breadcrumbs_out_of_date",
        "The stored path of a category is not that of the tree.",
        """
        WITH RECURSIVE tree AS (
            SELECT c.id, breadcrumb(c.slug, c.name) AS path, ARRAY[c.slug] AS lineage
            FROM category c WHERE c.parent_id IS NULL
            UNION ALL
            SELECT c.id, tree.path || ',' || breadcrumb(c.slug, c.name), tree.lineage || c.slug
            FROM category c JOIN tree ON tree.id = c.parent_id
        )
        SELECT uuid_send(c.id) AS category_id, 'is ' || c.breadcrumbs || ' and ' || spaced(c.lineage)
                   || ', should be ' || tree.path || ' and ' || spaced(tree.lineage) AS detail
        FROM category c JOIN tree ON tree.id = c.id
        WHERE c.breadcrumbs <> tree.path OR c.lineage <> tree.lineage ORDER BY c.id
        """,
    ),
    Check(
        9,
        "facet_value_without_name",
        "A product has a tag, attribute or option that no facet can name.",
        """
        SELECT uuid_send(p.id) AS product_id, 'facet value ' || value_id AS detail
        FROM product p, unnest(p.facet_ids) AS value_id
        WHERE NOT EXISTS (SELECT FROM facet_value v WHERE v.id = value_id) ORDER BY p.id, value_id
        """,
    ),
    Check(
        6,
        "price_not_recorded",
        "The price of a SKU is not the last one in its history.",
        """
        WITH variant_price AS (
            SELECT v.sku, v.product_id, CASE
                WHEN NOT v.on_sale OR v.publish_at > now() THEN NULL
                WHEN v.has_price_plan THEN planned_price(v.product_id, v.sku, 1, now())
                ELSE v.price
            END AS price FROM variant v
        )
        SELECT v.sku,
               coalesce(v.price::text, 'off sale') || ', recorded is ' || coalesce(h.price::text, 'off sale') AS detail
        FROM variant_price v LEFT JOIN LATERAL (
            SELECT last.price FROM (
                SELECT h.price, h.starts_at, rank() OVER (ORDER BY h.recorded_at DESC) AS revision
                FROM price_history h WHERE h.product_id = v.product_id AND h.sku = v.sku
            ) last WHERE last.revision = 1 AND last.starts_at <= now() ORDER BY last.starts_at DESC LIMIT 1
        ) h ON true
        WHERE v.price IS DISTINCT FROM h.price ORDER BY v.sku
        """,
    ),
    Check(
        2,
        "price_not_moved",
        "A price has changed by time, but lists are still sorted by the one before.",
        """
        SELECT uuid_send(id) AS product_id, 'since ' || planned_prices_end AS detail FROM product
        WHERE planned_prices_end < now() - interval '30 seconds' ORDER BY planned_prices_end
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
