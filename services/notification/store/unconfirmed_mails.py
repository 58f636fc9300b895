"""SQL of the mails to addresses that were never confirmed, counted by recipient."""

from infra.database.advisory_locks import AdvisoryLockSeed, lock_text
from infra.database.postgres import Connection
from services.notification.domain.deliveries import MailDelivery
from services.notification.domain.unconfirmed_mails import WINDOW_SECONDS, UnconfirmedMailLimits

# Counts a mail unless the recipient has had enough. A mail that was counted before and is tried again is allowed, and
# not counted again; so is a mail about an order that was mailed about before.
_COUNT = """
WITH recent AS (
    SELECT count(*) FILTER (WHERE counted_at > clock_timestamp() - interval '1 hour') AS of_hour, count(*) AS of_day
    FROM unconfirmed_mail
    WHERE recipient = $2 AND about = $3 AND counted_at > clock_timestamp() - interval '1 day'
), known AS (
    SELECT EXISTS (SELECT FROM unconfirmed_mail WHERE delivery_id = $1) OR EXISTS (
        SELECT FROM delivery LEFT JOIN unconfirmed_mail counted ON counted.delivery_id = delivery.id
        WHERE delivery.order_id = $6 AND (delivery.status = 'sent' OR counted.delivery_id IS NOT NULL)
    ) AS is_known
), counted AS (
    INSERT INTO unconfirmed_mail (delivery_id, recipient, about)
    SELECT $1, $2, $3 FROM recent, known
    WHERE (of_hour < $4 AND of_day < $5) AND NOT is_known
    RETURNING true
)
SELECT is_known OR EXISTS (SELECT FROM counted) FROM known
"""
_DELETE_EXPIRED = "DELETE FROM unconfirmed_mail WHERE counted_at < now() - make_interval(secs => $1)"


async def count(
    connection: Connection, delivery: MailDelivery, recipient: bytes, about: str, limits: UnconfirmedMailLimits
) -> bool:
    """Counts a mail to a recipient, in a transaction; returns whether it may be sent."""
    await lock_text(connection, recipient.hex(), AdvisoryLockSeed.UNCONFIRMED_RECIPIENT)
    allowed: bool = await connection.fetchval(
        _COUNT, delivery.id, recipient, about, limits.per_hour, limits.per_day, delivery.order_id
    )
    return allowed


async def delete_expired(connection: Connection) -> None:
    """Deletes the mails that no longer count."""
    await connection.execute(_DELETE_EXPIRED, WINDOW_SECONDS)
