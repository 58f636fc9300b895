"""What notification hears and answers."""

from collections.abc import Callable
from dataclasses import dataclass

from contracts.model import ListPage, PageParams
from contracts.notification import Notification
from infra.database.postgres import Database, Transaction
from infra.foundation import pagination as cursor
from infra.foundation.ids import new_id
from infra.messaging.rpc import Request
from services.notification.domain.deliveries import (
    MAIL_KINDS,
    OrderMailEvent,
    TokenMailEvent,
    order_facts,
    subject_line,
)
from services.notification.store import deliveries as store


@dataclass(frozen=True, slots=True)
class NotificationDeps:
    """What the handlers work with."""

    db: Database
    wake_sender: Callable[[], None]


async def queue_order_mail(desk: NotificationDeps, tx: Transaction, event: OrderMailEvent) -> None:
    """Queues the mail about an order. Each event has a mail of its own, so their order does not matter."""
    kind = MAIL_KINDS[type(event)]
    await store.enqueue(
        tx.connection,
        delivery_id=new_id(),
        kind=kind,
        order_id=event.order_id,
        user_id=event.user_id,
        subject=subject_line(kind, event.number),
        facts=order_facts(event),
    )
    tx.on_commit(desk.wake_sender)


async def queue_token_mail(desk: NotificationDeps, tx: Transaction, event: TokenMailEvent) -> None:
    """Queues the mail that carries a token. The token is asked for when the mail is sent, and kept nowhere."""
    kind = MAIL_KINDS[type(event)]
    await store.enqueue(
        tx.connection,
        delivery_id=new_id(),
        kind=kind,
        order_id=None,
        user_id=event.user_id,
        subject=subject_line(kind),
        facts=None,
        proof_id=event.proof_id,
    )
    tx.on_commit(desk.wake_sender)


async def list_notifications(desk: NotificationDeps, ask: Request[PageParams]) -> ListPage[Notification]:
    """One's own; an administrator sees everybody's."""
    before = cursor.decode_id_cursor(ask.body.after)
    owner = None if ask.user.is_admin else ask.user.user_id
    async with desk.db.connection() as connection:
        found = await store.page(connection, user_id=owner, before=before, limit=ask.body.limit + 1)
    page, following = cursor.paginate(found, ask.body.limit)
    return ListPage(items=page, next=following)
