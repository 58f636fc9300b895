"""Asks as the edge sends them, and as other services do."""

from collections.abc import Mapping
from typing import Any

import orjson
from nats.aio.client import Client

from contracts import headers
from contracts.identity import Identity, Role, Scope
from contracts.model import Model
from contracts.operation import AnyOperation
from infra.foundation.ids import new_id
from infra.messaging.rpc import Asker


class Edge:
    """Asks any operation with the rights of one NATS user."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.asker = Asker(client, timeout=10.0)

    async def __call__(self, operation: AnyOperation, body: Model | Mapping[str, Any] | None = None, **how: Any) -> Any:
        """The reply as its model; `how` is as for `raw`."""
        found, _ = await self.raw(operation, body, **how)
        return operation.reply.model_validate_json(found)

    async def raw(
        self,
        operation: AnyOperation,
        body: Model | Mapping[str, Any] | bytes | None = None,
        *,
        identity: Identity | None = None,
        key: str | None = None,
        if_match: int | None = None,
        client: str = "127.0.0.9",
    ) -> tuple[bytes, Mapping[str, str]]:
        """Bytes and headers of the reply; raises the `Fail` that came instead."""
        said = {
            headers.CLIENT: client,
            headers.IDENTITY: identity.model_dump_json() if identity else None,
            headers.IDEMPOTENCY_KEY: key,
            headers.IF_MATCH: None if if_match is None else str(if_match),
        }
        extra = {name: value for name, value in said.items() if value is not None}
        return await self.asker.send(operation.subject, _encoded(body), extra)


def _encoded(body: Model | Mapping[str, Any] | bytes | None) -> bytes:
    if isinstance(body, bytes):
        return body
    if isinstance(body, Model):
        return body.model_dump_json(by_alias=True).encode()
    return orjson.dumps(body or {})


def customer() -> Identity:
    """Somebody signed in whom nobody has met before."""
    return Identity(user_id=new_id(), role=Role.CUSTOMER)


def admin() -> Identity:
    return Identity(user_id=new_id(), role=Role.ADMIN)


def machine(*scopes: Scope) -> Identity:
    """As the edge tells of an API key."""
    key_id = new_id()
    return Identity(user_id=key_id, role=Role.ADMIN, session_id=key_id, scopes=scopes)
