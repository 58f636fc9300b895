"""Safeguards of changes that are written in groups, of lost replies, and of cached quotes."""

from tests.mutation.safeguard import Safeguard

WRITES = "services/cart/store/grouped_writes.py"
WRITER = "services/cart/group_writer.py"
ITEMS = "services/cart/handlers/items.py"
GROUPED = "tests/services/cart/test_grouped_writes.py"
LOST = "tests/services/cart/test_lost_replies.py"
EVENTS = "tests/services/cart/test_events.py"
CACHED = "tests/services/cart/test_cached_quotes.py"

CART_SAFEGUARDS = (
    Safeguard(
        "grouped writes: units that another process has added are overwritten",
        WRITES,
        '        "version": before.version,\n',
        "",
        (f"{GROUPED}::test_units_that_another_process_has_added_are_not_overwritten",),
    ),
    Safeguard(
        "grouped writes: a line is written in the place of one that is not known",
        WRITES,
        '        f"lines.{len(before.lines)}": {"$exists": False},\n',
        "",
        (f"{GROUPED}::test_a_cart_that_was_expected_to_be_emptied_keeps_its_lines",),
    ),
    Safeguard(
        "grouped writes: a change creates the cart that was deleted",
        WRITES,
        '"$setOnInsert": {"_id": None}',
        '"$setOnInsert": {}',
        (f"{GROUPED}::test_a_deleted_cart_is_not_created_by_a_change",),
    ),
    Safeguard(
        "grouped writes: a merged cart takes changes",
        WRITES,
        '        "merged_into": None,\n',
        "",
        (f"{GROUPED}::test_a_cart_that_has_ended_takes_no_change",),
    ),
    Safeguard(
        "grouped writes: an expired cart takes changes",
        WRITES,
        '        "expires_at": {"$gt": update.now},\n',
        "",
        (f"{GROUPED}::test_a_cart_that_has_ended_takes_no_change",),
    ),
    Safeguard(
        "grouped writes: a cart that stays locked keeps its neighbours waiting",
        "infra/database/mongo.py",
        "        maxTimeMS=timeout_ms,\n",
        "",
        (f"{GROUPED}::test_a_locked_cart_does_not_fail_its_neighbours",),
    ),
    Safeguard(
        "grouped writes: a member that cannot be sent fails its neighbours",
        WRITER,
        "            errors = await self._writes.repeat(updates)\n",
        "            raise\n",
        (f"{GROUPED}::test_a_change_that_is_too_large_to_send_fails_alone",),
    ),
    Safeguard(
        "order within a group: a change overtakes one that is left to its request",
        WRITER,
        "None if plan.left or quotes is None else",
        "None if quotes is None else",
        (f"{GROUPED}::test_two_changes_of_one_cart_in_one_group_keep_their_order",),
    ),
    Safeguard(
        "If-Match in a group: a change is written to a version that its client did not expect",
        ITEMS,
        "        require_version(request, known)\n",
        "",
        (f"{GROUPED}::test_the_expected_version_is_checked_for_each_change_of_a_group",),
    ),
    Safeguard(
        "lost reply: a change that was written is reported as unknown",
        WRITES,
        'stored.get("write_id") == update.write_id',
        'stored.get("write_id") is None',
        (f"{LOST}::test_a_group_whose_reply_is_lost_has_its_effects_once",),
    ),
    Safeguard(
        "lost reply: a change that may have been written is written again",
        WRITES,
        "return WriteConflict() if is_refused else Unavailable(retry_after=1)",
        "return WriteConflict()",
        (f"{LOST}::test_a_cart_that_changed_after_the_lost_reply_is_not_changed_again",),
    ),
    Safeguard(
        "lost connection: carts that a crashed server may have lost are still known",
        WRITER,
        "            self._cache.clear()",
        "            pass",
        (f"{LOST}::test_a_group_whose_reply_is_lost_has_its_effects_once",),
    ),
    Safeguard(
        "cached quotes: one is used for longer than a second",
        "services/cart/price_client.py",
        "return self.asked_at >= oldest and (lasts",
        "return (lasts",
        (f"{CACHED}::test_a_quote_is_cached_for_a_second_at_most",),
    ),
    Safeguard(
        "cached quotes: the second begins when the reply arrives",
        "services/cart/price_client.py",
        "_CachedQuote(quotes.get(sku), asked_at)",
        "_CachedQuote(quotes.get(sku), time.monotonic())",
        (f"{CACHED}::test_the_second_begins_when_a_quote_is_asked_for",),
    ),
    Safeguard(
        "cached quotes: a read shows an old price",
        "services/cart/handlers/carts.py",
        "    quotes = await deps.prices.quotes_for(cart.lines_by_sku)\n    seen = cart",
        "    await deps.prices.cache_quotes(cart.lines_by_sku)\n"
        "    quotes = deps.prices.cached_quotes(cart.lines_by_sku) or {}\n    seen = cart",
        (f"{CACHED}::test_an_order_and_a_read_never_use_a_cached_quote",),
    ),
    Safeguard(
        "cached quotes: a change is refused because of an old quote",
        ITEMS,
        "quotes = await deps.prices.quotes_for({*cart.lines_by_sku, *skus})",
        "await deps.prices.cache_quotes({*cart.lines_by_sku, *skus})\n"
        "        quotes = deps.prices.cached_quotes({*cart.lines_by_sku, *skus}) or {}",
        (f"{CACHED}::test_a_refusal_never_comes_from_a_cached_quote",),
    ),
    Safeguard(
        "orders of a cart: the statement does not remember the version of an order that it drops",
        "services/cart/store/cart_documents.py",
        '{"$max": ["$forgotten_to", {"$max": {"$slice": ["$ordered_at", dropped]}}, 0]}',
        '{"$ifNull": ["$forgotten_to", 0]}',
        (f"{EVENTS}::test_an_order_dropped_from_the_list_is_not_applied_again",),
    ),
    Safeguard(
        "orders of a cart: a batch counts as applied although one of its carts has changed",
        "services/cart/store/carts.py",
        "return result.matched == len(updates)",
        "return result.matched > 0",
        (f"{EVENTS}::test_orders_of_a_batch_whose_carts_have_changed_are_applied_by_themselves",),
    ),
)
