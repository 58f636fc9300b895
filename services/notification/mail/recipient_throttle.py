"""Limits the mails to addresses that were never confirmed: anyone can name the address of someone else."""

from infra.database.postgres import Database
from infra.foundation.failpoints import failpoint
from services.notification.domain.deliveries import MailDelivery
from services.notification.domain.unconfirmed_mails import UnconfirmedMailLimits, recipient_digest, subject_of
from services.notification.mail.recipients import Recipient
from services.notification.store import unconfirmed_mails


class RecipientThrottle:
    """Counts each mail before it is sent, in the database that all processes share."""

    def __init__(self, db: Database, limits: UnconfirmedMailLimits) -> None:
        self.db = db
        self.limits = limits

    async def allows(self, delivery: MailDelivery, recipient: Recipient) -> bool:
        """Tells whether the mail may be sent, and counts it if so; a mail that is tried again is not counted again."""
        if recipient.is_confirmed:
            return True
        digest = recipient_digest(recipient.email, self.limits.digest_key)
        async with self.db.transaction() as tx:
            allowed = await unconfirmed_mails.count(tx.connection, delivery, digest, subject_of(delivery), self.limits)
        failpoint("notification.mail_counted")
        return allowed

    async def delete_expired(self) -> bool:
        """Deletes what no longer counts; there is never more."""
        async with self.db.connection() as connection:
            await unconfirmed_mails.delete_expired(connection)
        return False
