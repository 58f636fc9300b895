"""Events that queue a mail."""

from infra.database.postgres import Transaction
from infra.foundation.ids import new_id
from services.notification.deps import NotificationDeps
from services.notification.domain.mails import (
    MAIL_KINDS,
    OrderMailEvent,
    TokenMailEvent,
    order_facts,
    subject_line,
)
from services.notification.store import deliveries


async def queue_order_mail(deps: NotificationDeps, tx: Transaction, event: OrderMailEvent) -> None:
    """Queues the mail about an order. Each event has its own mail, so the order of events does not matter."""
    kind = MAIL_KINDS[type(event)]
    await deliveries.enqueue(
        tx.connection,
        delivery_id=new_id(),
        kind=kind,
        order_id=event.order_id,
        user_id=event.user_id,
        subject=subject_line(kind, event.number),
        facts=order_facts(event),
    )
    tx.on_commit(deps.wake_mail_sender)


async def queue_token_mail(deps: NotificationDeps, tx: Transaction, event: TokenMailEvent) -> None:
    """Queues the mail that carries a token. The token is requested when the mail is sent, and stored nowhere."""
    kind = MAIL_KINDS[type(event)]
    await deliveries.enqueue(
        tx.connection,
        delivery_id=new_id(),
        kind=kind,
        order_id=None,
        user_id=event.user_id,
        subject=subject_line(kind),
        facts=None,
        proof_id=event.proof_id,
    )
    tx.on_commit(deps.wake_mail_sender)
