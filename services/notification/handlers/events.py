"""What notification hears and answers."""

from collections.abc import Callable
from dataclasses import dataclass

from contracts.model import Listing, Page
from contracts.notification import Notification
from infra.database.postgres import Database, Transaction
from infra.foundation import pagination as cursor
from infra.foundation.ids import new_id
from infra.messaging.rpc import Ask
from services.notification.domain.deliveries import KINDS, Requested, Told, facts_of, subject_of
from services.notification.store import deliveries as store


@dataclass(frozen=True, slots=True)
class Desk:
    """What the handlers work with."""

    db: Database
    wake_sender: Callable[[], None]


async def tell_customer(desk: Desk, tx: Transaction, event: Told) -> None:
    """Queues the mail about an order. Each event has a mail of its own, so their order does not matter."""
    kind = KINDS[type(event)]
    await store.queue(
        tx.connection,
        delivery_id=new_id(),
        kind=kind,
        order_id=event.order_id,
        user_id=event.user_id,
        subject=subject_of(kind, event.number),
        facts=facts_of(event),
    )
    tx.afterwards(desk.wake_sender)


async def mail_token(desk: Desk, tx: Transaction, event: Requested) -> None:
    """Queues the mail that carries a token. The token is asked for when the mail is sent, and kept nowhere."""
    kind = KINDS[type(event)]
    await store.queue(
        tx.connection,
        delivery_id=new_id(),
        kind=kind,
        order_id=None,
        user_id=event.user_id,
        subject=subject_of(kind),
        facts=None,
        proof_id=event.proof_id,
    )
    tx.afterwards(desk.wake_sender)


async def list_notifications(desk: Desk, ask: Ask[Page]) -> Listing[Notification]:
    """One's own; an administrator sees everybody's."""
    before = cursor.id_in(ask.body.after)
    owner = None if ask.who.is_admin else ask.who.user_id
    async with desk.db.connection() as connection:
        found = await store.notifications(connection, user_id=owner, before=before, most=ask.body.limit + 1)
    page, following = cursor.page(found, ask.body.limit)
    return Listing(items=page, next=following)
