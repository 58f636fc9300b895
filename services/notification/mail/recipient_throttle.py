"""Limits the mails to addresses that were never confirmed: anyone can name the address of someone else."""

from collections.abc import Sequence
from uuid import UUID

from infra.database.postgres import Database
from infra.foundation.failpoints import failpoint
from services.notification.domain.deliveries import MailDelivery
from services.notification.domain.mails_to_unconfirmed_addresses import (
    UnconfirmedMail,
    UnconfirmedMailLimits,
    recipient_digest,
    split_by_recipient,
    subject_of,
)
from services.notification.mail.recipients import Recipient
from services.notification.store import mails_to_unconfirmed_addresses


class RecipientThrottle:
    """Counts each mail before it is sent, in the database that all processes share."""

    def __init__(self, db: Database, limits: UnconfirmedMailLimits) -> None:
        self.db = db
        self.limits = limits

    async def refused(self, mails: Sequence[tuple[MailDelivery, Recipient]]) -> set[UUID]:
        """Returns the mails that may not be sent, and counts the others; one that is tried again is counted once."""
        unconfirmed = [
            UnconfirmedMail(delivery, recipient_digest(recipient.email, self.limits.digest_key), subject_of(delivery))
            for delivery, recipient in mails
            if not recipient.is_confirmed
        ]
        if not unconfirmed:
            return set()
        async with self.db.transaction() as tx:
            await mails_to_unconfirmed_addresses.lock_recipients(tx.connection, unconfirmed)
            allowed: set[UUID] = set()
            for wave in split_by_recipient(unconfirmed):
                allowed |= await mails_to_unconfirmed_addresses.count(tx.connection, wave, self.limits)
        failpoint("notification.mail_counted")
        return {mail.delivery.id for mail in unconfirmed} - allowed

    async def delete_expired(self) -> bool:
        """Deletes what no longer counts; there is never more."""
        async with self.db.connection() as connection:
            await mails_to_unconfirmed_addresses.delete_expired(connection)
        return False
