"""What `souk verify` checks in the user database: erasures that take too long."""

from infra.database.checks import Check

CHECKS = (
    Check(
        2,
        "erasure_overdue",
        "An erasure is not finished 15 minutes after the customer asked for it.",
        """
        SELECT uuid_send(account_id) AS user_id, 'asked for at ' || asked_at AS detail FROM erasure
        WHERE done_at IS NULL AND asked_at < now() - interval '15 minutes' ORDER BY asked_at
        """,
    ),
)
