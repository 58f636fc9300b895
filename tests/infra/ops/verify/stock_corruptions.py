"""Corruptions of stock, holds, ratings and categories."""

from tests.infra.ops.verify import corrupting_actions
from tests.infra.ops.verify.corruption import Corruption

STOCK_CORRUPTIONS = (
    Corruption(
        "more is on hand than was moved",
        "paid",
        {"stock_out_of_balance": ("sku",)},
        (("catalog", "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = '{sku}'"),),
    ),
    Corruption(
        "more is reserved than is held",
        "paid",
        {"stock_out_of_balance": ("sku",)},
        (("catalog", "UPDATE stock SET reserved = reserved + 1 WHERE sku = '{sku}'"),),
        is_repairable=True,
    ),
    Corruption(
        "a hold has lost the line that it took",
        "pending",
        {"stock_out_of_balance": ("sku",)},
        (("catalog", "UPDATE hold SET untracked = skus WHERE id = '{hold_id}'"),),
        is_repairable=True,
    ),
    Corruption(
        "units are missing of a SKU that is not sold below zero",
        "paid",
        {"stock_out_of_bounds": ("sku",)},
        (
            ("catalog", "ALTER TABLE stock DROP CONSTRAINT IF EXISTS stock_law"),
            ("catalog", "UPDATE stock SET on_hand = on_hand - 1000 WHERE sku = '{sku}'"),
            ("catalog", "INSERT INTO stock_movement (sku, kind, quantity) VALUES ('{sku}', 'adjusted', -1000)"),
        ),
    ),
    Corruption(
        "more is reserved than there is",
        "paid",
        {"stock_out_of_bounds": ("sku",), "stock_out_of_balance": ("sku",)},
        (
            ("catalog", "ALTER TABLE stock DROP CONSTRAINT IF EXISTS stock_law"),
            ("catalog", "UPDATE stock SET reserved = on_hand + 1 WHERE sku = '{sku}'"),
        ),
        is_repairable=True,
    ),
    Corruption(
        "a SKU counts the units of another product",
        "paid",
        {"stock_of_another_product": ("sku",)},
        (("catalog", "UPDATE stock SET product_id = gen_random_uuid() WHERE sku = '{sku}'"),),
    ),
    Corruption(
        "a hold has other goods",
        "paid",
        {"hold_of_other_goods": ("order_id", "hold_id")},
        (("catalog", "UPDATE hold SET quantities = '{{7}}' WHERE id = '{hold_id}'"),),
    ),
    Corruption(
        "a published review is not counted",
        "paid",
        {"rating_out_of_balance": (".",), "shop_rating_out_of_balance": ()},
        (
            (
                "catalog",
                """
                INSERT INTO review (
                    id, product_id, user_id, order_id, rating, title, body, status, created_at, updated_at
                ) SELECT '{other}', product_id, '{user_id}', '{order_id}', 5, '', '', 'published', now(), now()
                FROM variant WHERE sku = '{sku}'
                """,
            ),
        ),
    ),
    Corruption(
        "a price was changed past its history",
        "paid",
        {"price_not_recorded": ("sku",)},
        (("catalog", "UPDATE variant SET price = price + 1 WHERE sku = '{sku}'"),),
    ),
    Corruption(
        "lists do not follow a price that has changed by time",
        "paid",
        {"price_not_moved": (".",)},
        (
            (
                "catalog",
                """
                UPDATE product SET planned_prices_end = now() - interval '1 hour'
                WHERE id = (SELECT product_id FROM variant WHERE sku = '{sku}')
                """,
            ),
        ),
        is_repairable=True,
    ),
    Corruption(
        "the path of a category is not that of the tree",
        "paid",
        {"breadcrumbs_out_of_date": ("other",)},
        (
            ("catalog", "INSERT INTO category (id, slug, name) VALUES ('{other}', '{other}', 'Lamps')"),
            ("catalog", "UPDATE category SET breadcrumbs = '' WHERE id = '{other}'"),
        ),
    ),
    Corruption(
        "a category counts for others than those above it",
        "paid",
        {"breadcrumbs_out_of_date": ("other",)},
        (
            ("catalog", "INSERT INTO category (id, slug, name) VALUES ('{other}', '{other}', 'Lamps')"),
            ("catalog", "UPDATE category SET lineage = '{{another}}' WHERE id = '{other}'"),
        ),
    ),
    Corruption(
        "an attribute of a product has no name",
        "paid",
        {"facet_value_without_name": (".",)},
        (
            (
                "catalog",
                """
                UPDATE product SET facet_ids = facet_ids || 7::bigint
                WHERE id = (SELECT product_id FROM variant WHERE sku = '{sku}')
                """,
            ),
        ),
    ),
    Corruption(
        "a hold is gone",
        "pending",
        {"order_without_hold": ("order_id", "hold_id"), "stock_out_of_balance": ("sku",)},
        (("catalog", "DELETE FROM hold WHERE id = '{hold_id}'"),),
        is_repairable=True,
    ),
    Corruption(
        "a hold has run out",
        "pending",
        {"hold_not_ended": ("hold_id",)},
        (("catalog", "UPDATE hold SET expires_at = now() - interval '1 hour' WHERE id = '{hold_id}'"),),
        is_repairable=True,
    ),
    Corruption(
        "stock does not follow a hold",
        "cancelled",
        {"hold_not_settled": ("hold_id",)},
        (
            ("catalog", "UPDATE hold SET taken = 'reserved' WHERE id = '{hold_id}'"),
            ("catalog", "UPDATE stock SET reserved = reserved + 1 WHERE sku = '{sku}'"),
        ),
        is_repairable=True,
    ),
    Corruption(
        "a sale was missed",
        "paid",
        {"order_not_sold": ("order_id", "hold_id")},
        (
            ("catalog", "UPDATE hold SET status = 'held', taken = 'reserved' WHERE id = '{hold_id}'"),
            ("catalog", "UPDATE stock SET reserved = 1, on_hand = on_hand + 1 WHERE sku = '{sku}'"),
            ("catalog", "DELETE FROM stock_movement WHERE sku = '{sku}' AND kind = 'sold'"),
        ),
        is_repairable=True,
    ),
    Corruption(
        "a cancellation was missed",
        "cancelled",
        {"cancelled_order_keeps_stock": ("order_id", "hold_id")},
        (
            ("catalog", "UPDATE hold SET status = 'held', taken = 'reserved' WHERE id = '{hold_id}'"),
            ("catalog", "UPDATE stock SET reserved = 1 WHERE sku = '{sku}'"),
        ),
        is_repairable=True,
    ),
    Corruption(
        "stock was sold without an order",
        "pending",
        {"sold_without_order": ("hold_id", "order_id")},
        (
            ("catalog", "UPDATE hold SET status = 'sold', taken = 'sold' WHERE id = '{hold_id}'"),
            ("catalog", "UPDATE stock SET reserved = 0, on_hand = on_hand - 1 WHERE sku = '{sku}'"),
            ("catalog", "INSERT INTO stock_movement (sku, kind, quantity) VALUES ('{sku}', 'sold', -1)"),
        ),
    ),
    Corruption(
        "a lost hold was missed",
        "paid",
        {"lost_hold_kept_order": ("order_id", "hold_id")},
        (
            ("catalog", "UPDATE hold SET status = 'lost', taken = 'nothing' WHERE id = '{hold_id}'"),
            ("catalog", "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = '{sku}'"),
            ("catalog", "DELETE FROM stock_movement WHERE sku = '{sku}' AND kind = 'sold'"),
        ),
        corrupting_actions.hold_loss_consumed_by_order,
        is_repairable=True,
    ),
)
