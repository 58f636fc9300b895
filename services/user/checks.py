"""What user offers to the audit: those who wait to be forgotten, and are kept waiting."""

from infra.database.checks import Check

CHECKS = (
    Check(
        2,
        "erasure_overdue",
        "What is held on somebody has not been erased in time.",
        """
        SELECT uuid_send(account_id) AS user_id, 'asked for at ' || asked_at AS detail FROM erasure
        WHERE done_at IS NULL AND asked_at < now() - interval '15 minutes' ORDER BY asked_at
        """,
    ),
)
