"""What keeps parcels within their orders, removed one at a time by `make safeguards ARGS="--only parcels"`."""

from tests.mutation.safeguard import Safeguard

DOMAIN = "tests/services/order/test_fulfilment_domain.py"
PARCELS = "tests/services/order/test_fulfilments.py"
CANCELLED = "tests/services/order/test_cancelled_units.py"
RETURNS = "tests/services/catalog/test_cancelled_units.py"
MAILS = "tests/services/notification/test_event_mails.py"
ORDER = "services/order"

FULFILMENT_SAFEGUARDS = (
    Safeguard(
        "parcels: more units leave than were ordered",
        f"{ORDER}/domain/fulfilments.py",
        "if sent[line.sku] > left.get(line.sku, 0):",
        "if line.quantity > left.get(line.sku, 0):",
        (f"{DOMAIN}::test_a_refusal_names_each_line_and_what_is_left",),
    ),
    Safeguard(
        "parcels: the order is read without a lock before a parcel leaves",
        f"{ORDER}/handlers/fulfilments.py",
        "record = await queries.lock(tx.connection, order_id)",
        "record = await queries.find(tx.connection, order_id)",
        (f"{PARCELS}::test_concurrent_requests_send_no_unit_twice",),
    ),
    Safeguard(
        "parcels: the database admits any",
        f"{ORDER}/migrations/0008_fulfilments.up.sql",
        "OR fulfilments_fit(status, items, fulfilments)",
        "OR items IS NOT NULL",
        (f"{PARCELS}::test_the_database_refuses_parcels_that_do_not_fit",),
    ),
    Safeguard(
        "parcels: an order is shipped with its first one",
        f"{ORDER}/domain/fulfilments.py",
        "if status is OrderStatus.PAID and state is FulfilmentState.FULL:",
        "if status is OrderStatus.PAID:",
        (f"{DOMAIN}::test_an_order_stays_paid_until_everything_has_left",),
    ),
    Safeguard(
        "parcels: an order of which a part has left is cancelled as a whole",
        f"{ORDER}/domain/cancellations.py",
        "    if order.fulfilments:\n        return False\n",
        "",
        (f"{DOMAIN}::test_the_rest_of_an_order_is_cancelled_after_a_parcel_has_left",),
    ),
    Safeguard(
        "parcels: cancelled units can leave",
        f"{ORDER}/domain/fulfilments.py",
        "item.quantity - item.cancelled",
        "item.quantity",
        (f"{DOMAIN}::test_what_has_left_or_was_cancelled_cannot_be_cancelled",),
    ),
    Safeguard(
        "parcels: the shares of a line do not add up",
        f"{ORDER}/domain/cancellations.py",
        "for cancelled in (item.cancelled, item.cancelled + units)",
        "for cancelled in (0, units)",
        (f"{DOMAIN}::test_shares_of_a_line_are_cumulative",),
    ),
    Safeguard(
        "parcels: cancelled units are refunded again when their event comes again",
        "services/payment/handlers/events.py",
        "if amount and not await refunds.exists(tx.connection, event.cancellation_id):",
        "if amount:",
        (f"{CANCELLED}::test_events_that_are_told_again_change_nothing",),
    ),
    Safeguard(
        "parcels: what an administrator has refunded is refunded again",
        "services/payment/handlers/events.py",
        "min(event.amount.amount, decide_reversal(payment).refund)",
        "event.amount.amount",
        (f"{CANCELLED}::test_what_an_administrator_has_refunded_is_not_refunded_again",),
    ),
    Safeguard(
        "parcels: cancelled units return before their hold is sold",
        "services/catalog/handlers/events.py",
        'raise RetryLater(f"hold {event.hold_id} is not sold yet")',
        "continue",
        (f"{RETURNS}::test_units_return_once_their_hold_is_sold",),
    ),
    Safeguard(
        "parcels: the loss of its hold cancels an order of which a part has left",
        f"{ORDER}/store/transitions.py",
        " AND (fulfilments IS NULL OR $3::text <> 'cancelled')",
        "",
        (f"{PARCELS}::test_a_lost_hold_does_not_cancel_an_order_of_which_a_part_has_left",),
    ),
    Safeguard(
        "parcels: their tracking survives an erasure",
        f"{ORDER}/store/privacy.py",
        """jsonb_agg(parcel || '{"tracking": null}' ORDER BY number)""",
        "jsonb_agg(parcel ORDER BY number)",
        (f"{PARCELS}::test_an_erasure_removes_the_tracking_of_every_parcel",),
    ),
    Safeguard(
        "parcels: an order that was shipped before they were stored has none",
        f"{ORDER}/store/records.py",
        'else parcels_of_unlisted(row["id"], items, history, tracking)',
        "else []",
        (f"{PARCELS}::test_an_order_shipped_by_an_older_release_is_one_parcel",),
    ),
    Safeguard(
        "parcels: only the first one is mailed",
        "services/notification/handlers/events.py",
        "part_id=part_of(event),",
        "",
        (f"{MAILS}::test_each_parcel_of_an_order_has_one_mail",),
    ),
    Safeguard(
        "parcels: the mail of an order that left as a whole is sent again",
        "services/notification/migrations/0004_parcel_mails.up.sql",
        "coalesce(part_id, order_id)",
        "part_id",
        (f"{MAILS}::test_an_order_that_was_mailed_as_a_whole_is_not_mailed_again_as_a_parcel",),
    ),
)
