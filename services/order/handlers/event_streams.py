"""Who may follow an order by server-sent events, and the tickets for browsers, which can send no headers there."""

from datetime import timedelta

from pydantic import SecretStr

from contracts.failure import NotFound
from contracts.order import (
    TICKET_SECONDS,
    EventStreamGrant,
    EventStreamTicket,
    FollowOrder,
    OrderRef,
    OrderTimeline,
    RedeemEventStreamTicket,
)
from infra.foundation.ids import new_id, now
from infra.messaging.rpc_client import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain.access import require_access
from services.order.domain.event_stream_tickets import TicketClaims
from services.order.domain.order_timelines import timeline_of
from services.order.handlers.guest_order_access import caller_of
from services.order.store import queries, used_tickets


async def follow(deps: OrderDeps, request: Request[FollowOrder]) -> OrderTimeline:
    """Returns the past of an order to its customer, its guest or an administrator. The edge reads what follows."""
    caller = caller_of(deps, request, request.body.id)
    async with deps.db.connection() as connection:
        record = require_access(await queries.find(connection, request.body.id), caller)
    return timeline_of(record.order, now())


async def create_ticket(deps: OrderDeps, request: Request[OrderRef]) -> Reply[EventStreamTicket]:
    """Returns a ticket by which the caller follows the order once more, without any other sign-in."""
    order_id = request.body.id
    caller = caller_of(deps, request, order_id)
    async with deps.db.transaction(request) as tx:
        require_access(await queries.find(tx.connection, order_id), caller)
        expires_at = now() + timedelta(seconds=TICKET_SECONDS)
        claims = TicketClaims(id=new_id(), identity=caller.identity, has_token=caller.has_token, expires_at=expires_at)
        ticket = deps.event_stream_tickets.sign(order_id, claims)
        return tx.reply(EventStreamTicket(ticket=ticket, expires_at=expires_at))


async def redeem_ticket(deps: OrderDeps, request: Request[RedeemEventStreamTicket]) -> EventStreamGrant:
    """Uses up a ticket and returns whom it was given to. A wrong, old or used one is refused as an unknown order."""
    order_id = request.body.id
    claims = deps.event_stream_tickets.read(order_id, request.body.ticket.get_secret_value(), now())
    if claims is None or not await used_tickets.use(deps.rpc.client, claims.id):
        raise NotFound
    access_token = SecretStr(deps.order_tokens.token_of(order_id)) if claims.has_token else None
    return EventStreamGrant(identity=claims.identity, access_token=access_token)
