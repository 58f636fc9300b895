"""Corruptions of parcels and of cancelled units."""

from tests.infra.ops.verify import corrupting_actions
from tests.infra.ops.verify.corruption import Corruption

UNCHECKED = ("order", "ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_fulfilments_fit")

FULFILMENT_CORRUPTIONS = (
    Corruption(
        "a parcel holds more than was ordered",
        "sent_in_two_parcels",
        {"fulfilments_do_not_fit": ("order_id",)},
        (
            UNCHECKED,
            (
                "order",
                (
                    "UPDATE orders SET fulfilments = jsonb_set(fulfilments, '{{0,items,0,quantity}}', '5') "
                    "WHERE id = '{order_id}'"
                ),
            ),
        ),
    ),
    Corruption(
        "a line has more cancelled units than were cancelled",
        "with_cancelled_units",
        {"fulfilments_do_not_fit": ("order_id",)},
        (
            UNCHECKED,
            (
                "order",
                "UPDATE orders SET items = jsonb_set(items, '{{0,cancelled}}', '2') WHERE id = '{order_id}'",
            ),
        ),
    ),
    Corruption(
        "a parcel published no event",
        "sent_in_two_parcels",
        {"order_untold": ("order_id",)},
        action=corrupting_actions.delete_shipped_event,
        is_repairable=True,
    ),
    Corruption(
        "cancelled units published no event",
        "with_cancelled_units",
        {"order_untold": ("order_id",)},
        action=corrupting_actions.delete_units_cancelled_event,
        is_repairable=True,
    ),
    Corruption(
        "a parcel has no mail",
        "sent_in_two_parcels",
        {"mail_missing": ("order_id", ".")},
        (
            (
                "notification",
                (
                    "DELETE FROM delivery WHERE id = (SELECT id FROM delivery WHERE order_id = '{order_id}' "
                    "AND kind = 'order_shipped' ORDER BY id LIMIT 1)"
                ),
            ),
        ),
        is_repairable=True,
    ),
    Corruption(
        "cancelled units were not refunded",
        "with_cancelled_units",
        {"cancelled_units_not_refunded": ("order_id", "more")},
        (
            (
                "order",
                (
                    """UPDATE orders SET cancellations = jsonb_set(cancellations, '{{0,id}}', '"{more}"') """
                    "WHERE id = '{order_id}'"
                ),
            ),
        ),
        is_repairable=True,
    ),
)
