"""What keeps stock right that is not tracked or sold below zero, removed one at a time by `make safeguards`."""

from tests.mutation.safeguard import Safeguard

MIGRATION = "services/catalog/migrations/0015_inventory.up.sql"
RULES = "services/catalog/domain/stock.py"
TRACKING = "tests/services/catalog/test_stock_tracking.py"
IMPORT = "tests/services/catalog/test_inventory_import.py"

STOCK_SAFEGUARDS = (
    Safeguard(
        "stock: a hold takes units of a SKU that is not tracked",
        MIGRATION,
        "WHERE s.sku = l.sku AND s.is_tracked;\n    RETURN QUERY",
        "WHERE s.sku = l.sku;\n    RETURN QUERY",
        (f"{TRACKING}::test_a_sku_that_is_not_tracked_can_always_be_ordered",),
    ),
    Safeguard(
        "stock: units that no hold has taken are sold and come back",
        MIGRATION,
        "here.it_is AND (h.untracked IS NULL OR l.sku <> ALL (h.untracked))",
        "here.it_is",
        (f"{TRACKING}::test_a_hold_gives_back_what_it_took_however_the_sku_is_counted_by_then",),
    ),
    Safeguard(
        "stock: an order that is paid late takes no units of a SKU that is tracked by then",
        MIGRATION,
        "            UPDATE hold h SET untracked = (",
        "            UPDATE hold h SET untracked = coalesce(h.untracked, '{}') || (",
        (f"{TRACKING}::test_a_late_payment_takes_units_as_the_sku_is_counted_by_then",),
    ),
    Safeguard(
        "stock: missing units cannot come in bit by bit once backorders have ended",
        RULES,
        "after.on_hand >= min(after.reserved, before.on_hand)",
        "after.on_hand >= after.reserved",
        (f"{TRACKING}::test_without_backorder_missing_units_stop_the_sale_until_they_are_there",),
    ),
    Safeguard(
        "stock: a removed variant loses its debt, so that an order cancelled later makes units of nothing",
        RULES,
        "on_hand=min(stock[sku].on_hand, 0)",
        "on_hand=0",
        (f"{TRACKING}::test_a_removed_variant_keeps_what_is_missing",),
    ),
    Safeguard(
        "low stock: every sale below the threshold says so again",
        MIGRATION,
        "AND old.on_hand - old.reserved > nullif(",
        "AND 1000000000 > nullif(",
        (f"{IMPORT}::test_an_event_says_once_that_few_units_are_left_and_again_after_there_were_more",),
    ),
    Safeguard(
        "inventory import: a line that cannot be applied costs the others",
        "services/catalog/domain/inventory_files.py",
        "        except StockReserved as refused:\n",
        "        except NotImplementedError as refused:\n",
        (f"{IMPORT}::test_a_file_sets_the_units_of_its_skus_and_a_bad_line_costs_no_other",),
    ),
)
