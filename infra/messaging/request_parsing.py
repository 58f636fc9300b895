"""Reads requests from NATS messages, and turns wrong fields into the failure that names them."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from contracts import headers
from contracts.failure import (
    Fail,
    FieldError,
    InvalidRequest,
    MalformedRequest,
)
from contracts.identity import Identity
from contracts.operation import AnyOperation
from contracts.size_limits import MAX_FIELD_ERRORS
from contracts.text_patterns import describe_error
from infra.messaging.idempotency import IdempotencyKey
from infra.messaging.rpc_client import Request


def parse_request(
    operation: AnyOperation, body: bytes, header: Mapping[str, str], identity: Identity | None
) -> Request[Any]:
    """Parses the body and the headers of a request. Raises a `Fail` that names the wrong fields."""
    try:
        payload = operation.request.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise validation_failure(error) from None
    versions = header.get(headers.IF_MATCH)
    return Request(
        payload,
        identity,
        client_ip=header.get(headers.CLIENT_IP, ""),
        if_match=frozenset(map(int, versions.split(","))) if versions else None,
        idempotency_key=_idempotency_key(operation, body, header, identity),
        operation=operation,
        order_token=header.get(headers.ORDER_TOKEN, "") if operation.open_to_order_tokens else "",
    )


def _idempotency_key(
    operation: AnyOperation, body: bytes, header: Mapping[str, str], identity: Identity | None
) -> IdempotencyKey | None:
    key = header.get(headers.IDEMPOTENCY_KEY)
    if not key or not operation.writes:
        return None
    user_id = identity.user_id if identity else None
    # A guest with an order's token is known by it. Others are known by their key alone, which no other guest has: an
    # address says nothing, since many guests share one, and a phone that repeats its request may have a new one.
    caller = str(user_id) if user_id else header.get(headers.ORDER_TOKEN, "")
    return IdempotencyKey.derive(
        operation.subject, caller, key, body, confidential=operation.confidential, owner=user_id
    )


def validation_failure(error: ValidationError) -> Fail:
    """Returns the failure that lists the wrong fields of a request. It never repeats the values sent."""
    items = error.errors(include_url=False, include_input=False)
    if items[0]["type"] == "json_invalid":
        return MalformedRequest("The body is not valid JSON.")
    listed = items[:MAX_FIELD_ERRORS]
    return InvalidRequest(
        errors=[FieldError(pointer=_pointer(item["loc"]), detail=describe_error(item)) for item in listed],
        unlisted_errors=len(items) - len(listed),
    )


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)
