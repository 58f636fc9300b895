"""Requests over NATS as the edge sends them, and as services and the operator do."""

from collections.abc import Mapping
from typing import Any

import orjson
from nats.aio.client import Client

from contracts import headers
from contracts.identity import ApiKeyScope, Identity, Role
from contracts.model import Model
from contracts.operation import AnyOperation
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import RpcClient


class RpcCaller:
    """Calls any operation with the rights of one NATS user."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.rpc = RpcClient(client, timeout_seconds=10.0)

    async def __call__(
        self, operation: AnyOperation, body: Model | Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Returns the reply as its model; `options` are the keyword arguments of `raw`."""
        reply, _ = await self.raw(operation, body, **options)
        return operation.reply.model_validate_json(reply)

    async def raw(
        self,
        operation: AnyOperation,
        body: Model | Mapping[str, Any] | bytes | None = None,
        *,
        identity: Identity | None = None,
        key: str | None = None,
        if_match: int | None = None,
        client: str = "127.0.0.9",
        order_token: str | None = None,
    ) -> tuple[bytes, Mapping[str, str]]:
        """Returns body and headers of the reply; raises the `Fail` that the service replied with."""
        values = {
            headers.CLIENT_IP: client,
            headers.IDENTITY: identity.model_dump_json() if identity else None,
            headers.IDEMPOTENCY_KEY: key,
            headers.ORDER_TOKEN: order_token,
            headers.IF_MATCH: None if if_match is None else str(if_match),
        }
        extra_headers = {name: value for name, value in values.items() if value is not None}
        return await self.rpc.request_bytes(operation.subject, _encoded(body), extra_headers)


def _encoded(body: Model | Mapping[str, Any] | bytes | None) -> bytes:
    if isinstance(body, bytes):
        return body
    if isinstance(body, Model):
        return body.model_dump_json(by_alias=True).encode()
    return orjson.dumps(body or {})


def customer_identity() -> Identity:
    """A new signed-in customer."""
    return Identity(user_id=new_id(), role=Role.CUSTOMER)


def admin_identity() -> Identity:
    """A new administrator."""
    return Identity(user_id=new_id(), role=Role.ADMIN)


def api_key_identity(*scopes: ApiKeyScope) -> Identity:
    """An API key with these scopes, as the edge passes it on."""
    key_id = new_id()
    return Identity(user_id=key_id, role=Role.ADMIN, session_id=key_id, scopes=scopes)
