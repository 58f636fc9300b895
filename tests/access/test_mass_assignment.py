"""What is never accepted from a client: roles, prices, states, owners, totals. Tried on every route, in every
object of its body and in every query.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from contracts import catalog
from contracts.identity import Access
from edge.openapi.request_examples import REQUEST_EXAMPLES
from edge.request_parsing import RequestParser
from edge.router import PATH_PARAMETER
from edge.routes import BodyFormat, Route, all_routes
from infra.foundation.ids import new_id
from tests.access.sample_request import USD, SampleRequest
from tests.support.http import RegisteredCustomer

SERVER_FIELDS: dict[str, Any] = {
    "created_at": "2020-01-01T00:00:00Z",
    "discount": USD,
    "email_verified": True,
    "identity": {"user_id": str(new_id()), "role": "admin"},
    "is_active": True,
    "is_admin": True,
    "on_hand": 1000,
    "owner_id": str(new_id()),
    "payment_id": str(new_id()),
    "price": USD,
    "provider": "simulator",
    "refunded": USD,
    "role": "admin",
    "session_id": str(new_id()),
    "status": "paid",
    "subtotal": USD,
    "total": USD,
    "totp": False,
    "unit_price": USD,
    "user_id": str(new_id()),
    "version": 1,
}
"""Fields that only the server sets, each with a plausible value."""
EDGE_FIELDS = ("id", "key", "sku", "image_id", "upload", "page_start")
"""Fields that the edge sets: path parameters, the name of a stored upload, and where a page of a file starts."""
WITH_VARIANTS = {"name": "Brass lamp", "variants": [{"sku": "A", "price": USD}]}

JSON = [(path, route) for path, route in all_routes() if route.body_format is BodyFormat.JSON]
WITHOUT_BODY = [(path, route) for path, route in all_routes() if route.body_format is BodyFormat.NONE]


def _name(entry: Any) -> str:
    return f"{entry[1].method} {entry[0]}"


def some_path(route: Route) -> dict[str, str]:
    """Well-formed path parameters of resources that do not exist."""
    known = {"sku": "NO-SUCH", "key": "no-such", "width": "160"}
    return {name: known.get(name, str(new_id())) for name in PATH_PARAMETER.findall(route.path)}


def objects(body: Any, pointer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in a body, with its JSON pointer."""
    if isinstance(body, dict):
        yield pointer, body
    for key, value in body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ():
        yield from objects(value, f"{pointer}/{key}")


def replaced(body: Any, pointer: str, value: Any) -> Any:
    """The body with another value at the pointer, which may be new."""
    if not pointer:
        return value
    head, _, rest = pointer[1:].partition("/")
    deeper = f"/{rest}" if rest else ""
    if isinstance(body, list):
        return [replaced(one, deeper, value) if str(n) == head else one for n, one in enumerate(body)]
    return {**body, head: replaced(body.get(head), deeper, value)}


def bodies(route: Route) -> list[dict[str, Any]]:
    more = [WITH_VARIANTS] if route.operation in {catalog.CREATE_PRODUCT, catalog.REPLACE_PRODUCT} else []
    return [REQUEST_EXAMPLES[route.operation], *more]


@pytest.mark.parametrize("entry", JSON, ids=_name)
async def test_server_fields_are_refused_in_every_object(
    access_admin: RegisteredCustomer, entry: tuple[str, Route]
) -> None:
    """Sent by an administrator, who may do the most. Models with such a field belong to administrators' routes."""
    path, route = entry
    for body in bodies(route):
        for pointer, found in objects(body):
            known = set(route.operation.request.model_fields) if not pointer else set(found)
            extra = {
                name: value
                for name, value in SERVER_FIELDS.items()
                if name not in known and not _is_variant_price(name, pointer)
            }
            sent = replaced(body, pointer, {**found, **extra})
            response = await SampleRequest(some_path(route), sent).send(access_admin.http, path, route)
            assert (response.status, response.code) == (422, "invalid"), response.body
            refused = {error["pointer"] for error in response.json["errors"]}
            assert {f"{pointer}/{name}" for name in extra} <= refused


def _is_variant_price(name: str, pointer: str) -> bool:
    """A variant has a price and no other server field."""
    return name == "price" and pointer.startswith("/variants/")


@pytest.mark.parametrize("entry", JSON, ids=_name)
async def test_fields_of_the_edge_are_refused_in_a_body(
    access_admin: RegisteredCustomer, entry: tuple[str, Route]
) -> None:
    path, route = entry
    foreign = [
        name for name in EDGE_FIELDS if name in some_path(route) or name not in route.operation.request.model_fields
    ]
    for name in foreign:
        sent = {**REQUEST_EXAMPLES[route.operation], name: str(new_id())}
        response = await SampleRequest(some_path(route), sent).send(access_admin.http, path, route)
        assert (response.status, response.code) == (422, "invalid"), response.body
        assert f"/{name}" in {error["pointer"] for error in response.json["errors"]}


def test_only_administrators_set_server_fields() -> None:
    sent = {route.operation for _, route in JSON if set(SERVER_FIELDS) & set(route.operation.request.model_fields)}
    assert {operation.access for operation in sent} == {Access.ADMIN}


@pytest.mark.parametrize("entry", WITHOUT_BODY, ids=_name)
async def test_server_fields_are_refused_in_a_query(access_admin: RegisteredCustomer, entry: tuple[str, Route]) -> None:
    path, route = entry
    query_fields = RequestParser(route).query_fields
    unknown = [name for name in (*SERVER_FIELDS, "upload", "page_start") if name not in query_fields]
    query = "?" + "&".join(f"{name}=1" for name in unknown)
    response = await SampleRequest(some_path(route), query=query).send(access_admin.http, path, route)
    assert (response.status, response.code) == (400, "malformed"), response.body
    assert {f"/{name}" for name in unknown} <= {error["pointer"] for error in response.json["errors"]}
