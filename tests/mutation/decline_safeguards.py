"""Safeguards of carts whose order was declined, and of merges that leave units out."""

from tests.mutation.safeguard import Safeguard

PLACE = "services/order/handlers/place.py"
CARTS = "services/cart/domain/carts.py"
DECLINED = "tests/services/order/test_carts_of_declined_orders.py"
EVENTS = "tests/services/cart/test_events.py"
MERGES = "tests/services/cart/test_ownership.py::test_a_merge_says_what_it_left_out"

DECLINE_SAFEGUARDS = (
    Safeguard(
        "attempt in the hold's id: a cancelled order keeps its cart from being ordered again",
        PLACE,
        'again = f" {attempt}" if attempt else ""',
        'again = ""',
        (f"{DECLINED}::test_a_declined_order_leaves_the_cart_which_is_ordered_again_until_it_is_paid",),
    ),
    Safeguard(
        "attempt in the hold's id: older releases hold the stock of a cart a second time",
        PLACE,
        'again = f" {attempt}" if attempt else ""',
        'again = f" {attempt}"',
        (f"{DECLINED}::test_the_first_attempt_has_the_id_that_older_releases_derive",),
    ),
    Safeguard(
        "attempt counted again: an order that is cancelled meanwhile is returned as the new one",
        PLACE,
        "if cart_version is not None and (existing is None or existing.order.status is OrderStatus.CANCELLED):",
        "if False:",
        (f"{DECLINED}::test_an_order_cancelled_while_the_next_one_is_placed_is_counted_again",),
    ),
    Safeguard(
        "hold of a cancelled order: the last units seem to be sold until catalog hears of it",
        PLACE,
        "        await orphaned_hold_release.release(deps, derive_hold_id(cart_version, None, attempt - 1), "
        "retry=False)",
        "        pass",
        (f"{DECLINED}::test_the_last_units_are_free_before_catalog_has_consumed_the_cancellation",),
    ),
    Safeguard(
        "hold of a cancelled order: the last units seem to be sold until the settler returns them",
        "services/catalog/store/holds.py",
        "    await connection.execute(_SETTLE_ENDED, hold_id)\n",
        "",
        ("tests/services/catalog/test_holds.py::test_a_release_settles_the_hold_of_a_cancelled_order",),
    ),
    Safeguard(
        "hold of a refused order: a release that fails is not tried again",
        PLACE,
        "await orphaned_hold_release.release(deps, hold_id, retry=True)",
        "await orphaned_hold_release.release(deps, hold_id, retry=is_private)",
        (
            "tests/services/order/test_orphaned_hold_release.py::test_a_refused_order_leaves_no_hold_although_catalog_was_away",
        ),
    ),
    Safeguard(
        "one order of a cart version: the database admits two that are not cancelled",
        "services/order/migrations/0003_carts_ordered_again.up.sql",
        "CREATE UNIQUE INDEX orders_of_cart_version",
        "CREATE INDEX orders_of_cart_version",
        (f"{DECLINED}::test_the_database_refuses_a_second_order_of_a_cart_version_that_is_not_cancelled",),
    ),
    Safeguard(
        "batch of events: a failure that arrived after the capture cancels the order",
        "services/order/handlers/events.py",
        'is left."""\n    await tx.flush()\n',
        'is left."""\n',
        ("tests/services/order/test_grouped_orders.py::test_captures_of_one_batch_pay_their_orders",),
    ),
    Safeguard(
        "batch of events: an order that was placed and cancelled in one batch is charged",
        "services/payment/handlers/events.py",
        "    await tx.flush()  # the order may have been placed in the same batch\n",
        "",
        ("tests/services/payment/test_batches_of_events.py::test_an_order_cancelled_in_its_own_batch_is_not_charged",),
    ),
    Safeguard(
        "batch of events: an order that is named twice has two payments",
        "services/payment/store/payments.py",
        "SELECT placed.* FROM placed JOIN gate ON gate.payment_id = placed.id",
        "SELECT placed.* FROM placed WHERE EXISTS (SELECT FROM gate)",
        ("tests/services/payment/test_batches_of_events.py::test_every_order_of_a_batch_is_charged_once",),
    ),
    Safeguard(
        "attempts to pay: a redelivered failure counts twice",
        "services/order/store/transitions.py",
        "CASE WHEN $2 = ANY(failed_payments) THEN failed_payments ELSE failed_payments || $2::uuid END",
        "failed_payments || $2::uuid",
        (f"{DECLINED}::test_an_order_may_be_paid_again_while_attempts_are_left",),
    ),
    Safeguard(
        "lines of a cart version: a second paid order of it takes them again",
        CARTS,
        "    if version in cart.ordered_at:\n        return cart.lines\n",
        "",
        (f"{EVENTS}::test_a_second_order_of_one_version_takes_nothing_more",),
    ),
    Safeguard(
        "lines of a guest's cart version: a second paid order of it takes them again",
        CARTS,
        "    if version in guest.ordered_at:\n        return {}\n",
        "",
        (f"{EVENTS}::test_a_second_guests_order_of_one_version_takes_nothing_more_after_a_merge",),
    ),
    Safeguard(
        "merge: units over the limit of a line vanish without a word",
        CARTS,
        "left_out=present.left_out + excess, shortage=None",
        "shortage=None",
        (MERGES,),
    ),
    Safeguard(
        "merge: a line that is short or not on sale is not marked",
        CARTS,
        "left_out=present.left_out + excess, shortage=None",
        "left_out=present.left_out + excess",
        (MERGES,),
    ),
    Safeguard(
        "merge: a guest's order takes units that were left out from the customer's own",
        "services/cart/handlers/merge.py",
        "units_taken(guest, own, merged)",
        "guest.lines",
        (f"{EVENTS}::test_a_guests_order_takes_only_what_a_capped_merge_took_over",),
    ),
)
