"""SQL of the mails to addresses that were never confirmed, counted by recipient."""

from collections.abc import Sequence
from uuid import UUID

from infra.database.advisory_locks import AdvisoryLockSeed, lock_texts
from infra.database.postgres import Connection
from services.notification.domain.mails_to_unconfirmed_addresses import (
    WINDOW_SECONDS,
    UnconfirmedMail,
    UnconfirmedMailLimits,
)

# Counts mails of different recipients, each unless its recipient has had enough. A mail that was counted before and is
# tried again is allowed, and not counted again; so is a mail about an order that was mailed about before.
_COUNT = """
WITH mail AS (
    SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::text[], $6::uuid[]) AS mail (id, recipient, about, order_id)
), recent AS (
    SELECT mail.*, (
        SELECT count(*) FROM unconfirmed_mail
        WHERE recipient = mail.recipient AND about = mail.about
            AND counted_at > clock_timestamp() - interval '1 hour'
    ) AS of_hour, (
        SELECT count(*) FROM unconfirmed_mail
        WHERE recipient = mail.recipient AND about = mail.about
            AND counted_at > clock_timestamp() - interval '1 day'
    ) AS of_day, EXISTS (SELECT FROM unconfirmed_mail WHERE delivery_id = mail.id) OR EXISTS (
        SELECT FROM delivery LEFT JOIN unconfirmed_mail counted ON counted.delivery_id = delivery.id
        WHERE delivery.order_id = mail.order_id AND (delivery.status = 'sent' OR counted.delivery_id IS NOT NULL)
    ) AS is_known
    FROM mail
), counted AS (
    INSERT INTO unconfirmed_mail (delivery_id, recipient, about)
    SELECT recent.id, recent.recipient, recent.about FROM recent JOIN delivery ON delivery.id = recent.id
    WHERE (of_hour < $4 AND of_day < $5) AND NOT is_known
    RETURNING delivery_id
)
SELECT id FROM recent WHERE is_known UNION ALL SELECT delivery_id FROM counted
"""
_DELETE_EXPIRED = "DELETE FROM unconfirmed_mail WHERE counted_at < now() - make_interval(secs => $1)"


async def lock_recipients(connection: Connection, mails: Sequence[UnconfirmedMail]) -> None:
    """Locks the counts of all recipients until the transaction ends."""
    recipients = [mail.recipient.hex() for mail in mails]
    await lock_texts(connection, recipients, AdvisoryLockSeed.UNCONFIRMED_RECIPIENT)


async def count(connection: Connection, mails: Sequence[UnconfirmedMail], limits: UnconfirmedMailLimits) -> set[UUID]:
    """Counts mails of different recipients, whose counts are locked; returns the ids of those that may be sent."""
    rows = await connection.fetch(
        _COUNT,
        [mail.delivery.id for mail in mails],
        [mail.recipient for mail in mails],
        [mail.about for mail in mails],
        limits.per_hour,
        limits.per_day,
        [mail.delivery.order_id for mail in mails],
    )
    return {row["id"] for row in rows}


async def delete_expired(connection: Connection) -> None:
    """Deletes the mails that no longer count."""
    await connection.execute(_DELETE_EXPIRED, WINDOW_SECONDS)
