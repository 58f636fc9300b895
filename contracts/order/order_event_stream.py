"""The event stream of an order: who may follow it, its past, and the tickets by which a browser opens it."""

from typing import Annotated

from pydantic import Field

from contracts.failure import NotFound
from contracts.identity import Access, Identity
from contracts.model import Id, Model, Secret, Timestamp
from contracts.operation import Operation, OwnedResource
from contracts.order.order_status import OrderStatus
from contracts.order.orders import SERVICE, OrderHistoryEntry, OrderRef

MAX_TICKET_LENGTH = 1024
TICKET_SECONDS = 60
"""How long a ticket can be used."""

Ticket = Annotated[Secret, Field(max_length=MAX_TICKET_LENGTH)]


class FollowOrder(OrderRef):
    """Asks for the event stream of an order. The last two fields are read by the edge alone."""

    last_event_id: Annotated[
        str | None,
        Field(
            description="The id of the last event that was received, for clients that cannot send `Last-Event-ID`; "
            "the header counts first."
        ),
    ] = None
    ticket: Annotated[Ticket | None, Field(description="A ticket for this order, in place of any other sign-in.")] = (
        None
    )


class OrderTimeline(Model):
    """The past of an order whose events the caller may follow."""

    status: OrderStatus
    history: list[OrderHistoryEntry]
    is_final: Annotated[bool, Field(description="Whether no other status can follow any more.")]


class EventStreamTicket(Model):
    """Opens the event stream of one order, once, for a client that can send no headers."""

    ticket: Annotated[str, Field(repr=False, description="Send it as `ticket` in the query of the event stream.")]
    expires_at: Annotated[Timestamp, Field(description="When it can no longer be used.")]


class RedeemEventStreamTicket(Model):
    """Uses up a ticket for the event stream of this order."""

    id: Id
    ticket: Ticket


class EventStreamGrant(Model):
    """Whom a ticket was given to: a signed-in user, or a guest, who has the token of the order."""

    identity: Identity | None
    access_token: Secret | None


_FOLLOWED_ORDER = OwnedResource("order", id_field="id", open_to_admins=True, open_to_order_tokens=True)

FOLLOW = Operation(
    SERVICE,
    "follow",
    FollowOrder,
    OrderTimeline,
    "Follow an order by server-sent events",
    Access.CUSTOMER,
    (NotFound,),
    owned_resources=(_FOLLOWED_ORDER,),
)
CREATE_EVENT_STREAM_TICKET = Operation(
    SERVICE,
    "create_event_stream_ticket",
    OrderRef,
    EventStreamTicket,
    "Create a ticket that opens an order's event stream once, within a minute",
    Access.CUSTOMER,
    (NotFound,),
    writes=True,
    owned_resources=(_FOLLOWED_ORDER,),
    confidential=True,
    people_only=True,
)
REDEEM_EVENT_STREAM_TICKET = Operation(
    SERVICE,
    "redeem_event_stream_ticket",
    RedeemEventStreamTicket,
    EventStreamGrant,
    "Use up a ticket for an order's event stream",
    Access.ANYONE,
    (NotFound,),
    writes=True,
    confidential=True,
    people_only=True,
)

EVENT_STREAM_OPERATIONS = (FOLLOW, CREATE_EVENT_STREAM_TICKET, REDEEM_EVENT_STREAM_TICKET)
