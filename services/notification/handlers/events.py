"""Events that queue a mail. The mails of a batch of events are queued in one statement."""

from collections.abc import Sequence

from contracts.order import OrderClaimed, OrderLookupRequested
from infra.database.postgres import Transaction
from infra.foundation import trace
from infra.foundation.ids import new_id
from services.notification.deps import NotificationDeps
from services.notification.domain.deliveries import NewDelivery
from services.notification.domain.mails import (
    MAIL_KINDS,
    OrderMailEvent,
    TokenMailEvent,
    lookup_facts,
    order_facts,
    part_of,
    subject_line,
)
from services.notification.store import deliveries


async def queue_order_mail(deps: NotificationDeps, tx: Transaction, event: OrderMailEvent) -> None:
    """Queues the mail about an order or a part. Each event has its own mail, so the order of events does not matter."""
    kind, current = MAIL_KINDS[type(event)], trace.current()
    mail = NewDelivery(
        id=new_id(),
        kind=kind,
        order_id=event.order_id,
        user_id=event.user_id,
        subject=subject_line(kind, event.number),
        facts=order_facts(event),
        traceparent=current.traceparent,
        request_id=current.request_id,
        part_id=part_of(event),
    )
    _queue(deps, tx, mail)


async def queue_token_mail(deps: NotificationDeps, tx: Transaction, event: TokenMailEvent) -> None:
    """Queues the mail that carries a token. The token is requested when the mail is sent, and stored nowhere."""
    kind, current = MAIL_KINDS[type(event)], trace.current()
    mail = NewDelivery(
        id=new_id(),
        kind=kind,
        order_id=None,
        user_id=event.user_id,
        subject=subject_line(kind),
        facts=b"{}",
        traceparent=current.traceparent,
        request_id=current.request_id,
        proof_id=event.proof_id,
    )
    _queue(deps, tx, mail)


async def queue_lookup_mail(deps: NotificationDeps, tx: Transaction, event: OrderLookupRequested) -> None:
    """Queues the mail with a link to a guest's order, for each request again. The link's token is stored nowhere."""
    kind, current = MAIL_KINDS[type(event)], trace.current()
    mail = NewDelivery(
        id=new_id(),
        kind=kind,
        order_id=None,
        user_id=None,
        subject=subject_line(kind, event.number),
        facts=lookup_facts(event),
        traceparent=current.traceparent,
        request_id=current.request_id,
        proof_id=event.lookup_id,
    )
    _queue(deps, tx, mail)


async def order_claimed(_deps: NotificationDeps, tx: Transaction, event: OrderClaimed) -> None:
    """Makes the mails about a guest's order those of the customer who has claimed it."""
    await tx.flush()  # one of them may be in the same batch
    await deliveries.change_owner(tx.connection, event.order_id, event.user_id)


def _queue(deps: NotificationDeps, tx: Transaction, mail: NewDelivery) -> None:
    tx.collect(_store_queued, mail)
    tx.on_commit(deps.wake_mail_sender)


async def _store_queued(tx: Transaction, mails: Sequence[NewDelivery]) -> None:
    await deliveries.enqueue(tx.connection, mails)
