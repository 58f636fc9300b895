"""Corruptions of events, inboxes and ownership."""

from tests.infra.ops.verify import corrupting_actions
from tests.infra.ops.verify.corruption import Corruption

EVENT_CORRUPTIONS = (
    Corruption(
        "an entry of the audit trail was changed",
        "pending",
        {"trail_changed": ("catalog", ".")},
        (
            ("catalog", "ALTER TABLE trail DISABLE TRIGGER trail_only_grows"),
            ("catalog", "GRANT UPDATE ON trail TO CURRENT_USER"),
            ("catalog", "UPDATE trail SET actor_id = '{other}' WHERE seq = 2"),
        ),
    ),
    Corruption(
        "an event is a dead letter",
        "paid",
        {"dead_letter": ("sequence", ".", "event_id")},
        action=corrupting_actions.publish_dead_letter,
    ),
    Corruption(
        "an event was missed",
        "paid",
        {"event_missed": (".", ".", "sequence", "event_id")},
        action=corrupting_actions.delete_inbox_row,
        is_repairable=True,
    ),
    Corruption(
        "an order published no event",
        "paid",
        {"order_untold": ("order_id",)},
        action=corrupting_actions.delete_paid_event,
        is_repairable=True,
    ),
    Corruption(
        "an order was not delivered",
        "paid",
        {"order_event_without_step": ("order_id",)},
        action=corrupting_actions.publish_delivered,
    ),
    Corruption(
        "an order was placed last",
        "paid",
        {"order_told_out_of_order": ("order_id",)},
        action=corrupting_actions.move_placed_to_end,
    ),
    Corruption(
        "an order is not what its history says",
        "paid",
        {"order_without_step": ("order_id",)},
        (("order", "UPDATE orders SET status = 'shipped' WHERE id = '{order_id}'"),),
    ),
    Corruption(
        "a payment published no event",
        "paid",
        {"payment_untold": ("payment_id", "order_id")},
        action=corrupting_actions.delete_captured_event,
        is_repairable=True,
    ),
    Corruption(
        "a payment was not refunded",
        "paid",
        {"payment_event_without_payment": ("payment_id", "order_id")},
        action=corrupting_actions.refund_consumed_by_order,
    ),
    Corruption(
        "a payment was captured last",
        "refunded",
        {"payment_told_out_of_order": ("payment_id",)},
        action=corrupting_actions.move_captured_to_end,
    ),
    Corruption(
        "a lost hold published no event",
        "cancelled",
        {"lost_hold_untold": ("more",)},
        (
            (
                "catalog",
                (
                    "INSERT INTO hold (id, status, taken, fingerprint, skus, quantities, answer, expires_at) "
                    "VALUES ('{more}', 'lost', 'nothing', '', '{{}}', '{{}}', '', now())"
                ),
            ),
        ),
        is_repairable=True,
    ),
    Corruption(
        "a cart was not emptied",
        "from_cart",
        {"cart_not_emptied": ("order_id", "cart")},
        action=corrupting_actions.remove_order_from_cart,
        is_repairable=True,
    ),
    Corruption(
        "a cart was ordered twice",
        "beside_cart",
        {"cart_ordered_twice": ("cart", ".")},
        (
            ("order", "DROP INDEX orders_of_cart_version"),
            (
                "order",
                (
                    "UPDATE orders SET cart_id = made.cart_id, cart_version = made.cart_version FROM orders AS made "
                    "WHERE orders.id = '{other}' AND made.id = '{order_id}'"
                ),
            ),
        ),
    ),
    Corruption(
        "a mail is missing",
        "paid",
        {"mail_missing": ("order_id", ".")},
        (("notification", "DELETE FROM delivery WHERE order_id = '{order_id}' AND kind = 'order_paid'"),),
        is_repairable=True,
    ),
    Corruption(
        "a mail waits",
        "paid",
        {"mail_overdue": (".",)},
        (
            (
                "notification",
                (
                    "UPDATE delivery SET status = 'queued', sent_at = NULL, due_at = now() + interval '1 hour', "
                    "created_at = now() - interval '2 days' WHERE order_id = '{order_id}' AND kind = 'order_paid'"
                ),
            ),
        ),
    ),
    Corruption(
        "an erasure waits",
        "paid",
        {"erasure_overdue": ("user_id",)},
        (
            (
                "user",
                (
                    "INSERT INTO erasure (digest, account_id, due_at, asked_at) "
                    "VALUES ('', '{user_id}', now() + interval '1 day', now() - interval '1 hour')"
                ),
            ),
        ),
    ),
    Corruption(
        "another customer has paid",
        "paid",
        {"paid_by_another": ("payment_id", "order_id")},
        (("payment", "UPDATE payment SET user_id = '{other}' WHERE id = '{payment_id}'"),),
    ),
    Corruption(
        "a cart belongs to another customer",
        "from_cart",
        {"cart_of_another": ("order_id", "cart")},
        action=corrupting_actions.change_cart_owner,
    ),
    Corruption(
        "another customer got the mail",
        "paid",
        {"mail_to_another": ("order_id", ".")},
        (
            (
                "notification",
                "UPDATE delivery SET user_id = '{other}' WHERE order_id = '{order_id}' AND kind = 'order_paid'",
            ),
        ),
    ),
)
