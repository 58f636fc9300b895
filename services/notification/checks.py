"""What `souk verify` reads and checks in the notification database: the mails of each order, and overdue mails."""

from infra.database.checks import Check, FactTable

FACTS = (
    FactTable(
        "delivery",
        ("order_id", "user_id", "name"),
        """
        SELECT uuid_send(order_id), uuid_send(user_id), replace(kind, 'order_', '') FROM delivery
        WHERE order_id IS NOT NULL ORDER BY order_id
        """,
        indexes=("order_id, name",),
    ),
)

CHECKS = (
    Check(
        2,
        "mail_overdue",
        "A mail is still queued after the last retry should have happened.",
        """
        SELECT uuid_send(id) AS delivery_id, kind || ' since ' || created_at AS detail FROM delivery
        WHERE status = 'queued' AND created_at < now() - interval '36 hours' ORDER BY id
        """,
    ),
)
