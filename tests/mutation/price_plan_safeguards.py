"""What keeps prices in force by their times and their history true, removed one at a time."""

from tests.mutation.safeguard import Safeguard

PRICES, RULES = "tests/services/catalog/test_prices.py", "tests/services/catalog/test_price_rules.py"
PUBLIC = "tests/edge/test_cached_public_replies.py"
PRIOR = "services/catalog/domain/prior_prices.py"
DOCUMENTS = "services/catalog/store/product_documents.py"
MOVER_IS_LATE = (f"{PRICES}::test_a_price_is_shown_and_sold_before_the_price_mover_comes",)
BY_TIME = (f"{PRICES}::test_a_price_changes_by_time_for_shoppers_lists_and_orders",)
IN_FORCE = (f"{PRICES}::test_the_price_in_force_is_shown_and_sold_everywhere",)
HISTORY = (f"{PRICES}::test_each_change_of_a_base_price_is_in_the_history",)

PRICE_PLAN_SAFEGUARDS = (
    Safeguard(
        "prices: the price carried into the 30 days does not count",
        PRIOR,
        "ends_at > begins_at",
        "point.starts_at >= begins_at",
        (f"{RULES}::test_the_prior_price",),
    ),
    Safeguard(
        "prices: a further reduction begins new 30 days",
        PRIOR,
        "        first = index\n    return first",
        "        return index\n    return first",
        (f"{RULES}::test_a_further_reduction_keeps_the_prior_price",),
    ),
    Safeguard(
        "prices: a plan counts for longer than until the next one",
        PRIOR,
        "and start.starts_at < min(end, until)",
        "and start.starts_at < until",
        (f"{RULES}::test_a_revision_replaces_what_had_not_come",),
    ),
    Safeguard(
        "prices: a draft's price is in the history",
        "services/catalog/store/price_plans.py",
        "WHERE v.product_id = ANY($1) AND v.on_sale AND v.publish_at IS DISTINCT FROM 'infinity'",
        "WHERE v.product_id = ANY($1)",
        (f"{PRICES}::test_a_draft_has_no_price_in_force",),
    ),
    Safeguard(
        "prices: a changed price is not recorded",
        "services/catalog/price_plan_updates.py",
        "or before.publication != after.publication or prices[0] != prices[1]",
        "or before.publication != after.publication",
        HISTORY,
    ),
    Safeguard(
        "prices: a change of a product undoes its plan",
        "services/catalog/price_plan_updates.py",
        "before.has_price_plan or ",
        "",
        IN_FORCE,
    ),
    Safeguard(
        "prices: the history can be changed",
        "services/catalog/migrations/0012_prices.up.sql",
        "BEFORE UPDATE OR DELETE OR TRUNCATE ON price_history",
        "BEFORE TRUNCATE ON price_history",
        (f"{PRICES}::test_the_history_cannot_be_changed",),
    ),
    Safeguard(
        "prices: a product shows what the price mover has reached",
        DOCUMENTS,
        "CASE WHEN p.planned_prices_end <= now() THEN planned_prices(p.id) ELSE p.planned_prices END",
        "p.planned_prices",
        MOVER_IS_LATE,
    ),
    Safeguard(
        "prices: a cached document keeps its prices",
        DOCUMENTS,
        'self._documents.get((row["id"], row["version"], row["prices"]))',
        'next((found for key, found in self._documents.items() if key[:2] == (row["id"], row["version"])), None)',
        BY_TIME,
    ),
    Safeguard(
        "prices: an order is priced without its quantity",
        "services/catalog/migrations/0015_inventory.up.sql",
        "planned_price(v.product_id, v.sku, l.quantity, clock_timestamp())",
        "planned_price(v.product_id, v.sku, 1, clock_timestamp())",
        IN_FORCE,
    ),
    Safeguard(
        "prices: lists do not follow a price that changes by time",
        "services/catalog/app.py",
        "deps.price_mover",
        "",
        BY_TIME,
    ),
    Safeguard(
        "prices: a list and its prices change without seeing each other",
        "services/catalog/store/price_lists.py",
        "FROM price_list WHERE id = $1 FOR SHARE",
        "FROM price_list WHERE id = $1",
        (f"{PRICES}::test_a_new_price_waits_for_a_change_of_its_list",),
    ),
    Safeguard(
        "prices: the edge keeps a reply for longer than its prices",
        "edge/upstream/reply_cache.py",
        "age < min(fresh_seconds, stored.valid_seconds)",
        "age < fresh_seconds",
        ("tests/edge/test_reply_cache.py::test_a_reply_with_a_price_that_changes_by_time_is_not_used_after_that",),
    ),
    Safeguard(
        "prices: shared caches keep a reply for longer than its prices",
        "edge/route_handler.py",
        "if reply.valid_seconds - (age or 0) < self._max_age + STALE_SECONDS:",
        "if False:",
        (f"{PUBLIC}::test_a_reply_with_a_price_that_is_about_to_change_is_not_left_to_shared_caches",),
    ),
    Safeguard(
        "prices: a cart keeps a quote for longer than its price",
        "services/cart/price_client.py",
        "(lasts is None or time.monotonic() < self.asked_at + lasts)",
        "True",
        ("tests/services/cart/test_cached_quotes.py::test_a_quote_ends_when_its_price_changes_by_time",),
    ),
)
