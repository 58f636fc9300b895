"""The catalog's part of `souk verify`: its holds, and the checks of its stock."""

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
        2,
        "import_stands_still",
        "No process works on a product import.",
        """
        SELECT uuid_send(id) AS import_id, status || ', last progress at ' || alive_at AS detail FROM import_job
        WHERE status IN ('queued', 'running') AND alive_at < now() - interval '15 minutes' ORDER BY id
        """,
    ),
)
