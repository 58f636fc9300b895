"""The token of a guest's order: given with the order, and checked in each request about it."""

from typing import Any
from uuid import UUID

import orjson

from contracts.failure import NotFound
from contracts.order import PlaceOrder
from infra.messaging.idempotency import StoredReply
from infra.messaging.rpc_client import Request
from services.order.deps import OrderDeps
from services.order.domain.access import OrderCaller


def caller_of(deps: OrderDeps, request: Request[Any], order_id: UUID) -> OrderCaller:
    """Returns who asks for the order. Raises `NotFound` for a guest with a wrong token, before the order is read."""
    has_token = deps.order_tokens.opens(order_id, request.order_token)
    if request.identity is None and not has_token:
        raise NotFound
    return OrderCaller(request.identity, has_token)


def add_access_token(deps: OrderDeps, request: Request[PlaceOrder], reply: StoredReply) -> StoredReply:
    """Adds the order's token to the reply, also when it is given again; the stored reply has none.

    A customer needs no token and gets null: generated clients read every field that the contract has.
    """
    order = orjson.loads(reply.body)
    token = deps.order_tokens.token_of(UUID(order["id"])) if request.identity is None else None
    return StoredReply(orjson.dumps({**order, "access_token": token}), reply.headers)
