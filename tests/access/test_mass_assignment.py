"""What is never taken from a client: roles, prices, states, whose it is, totals. Tried on every route, in every object
of its body, and in every query.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from contracts import catalog
from contracts.identity import Access
from edge.openapi.examples import REQUEST_EXAMPLES
from edge.request_parsing import RequestParser
from edge.router import PATH_PARAMETER
from edge.routes import BodyFormat, Route, all_routes
from infra.foundation.ids import new_id
from tests.access.sample_requests import USD, SampleRequest
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
"""Fields that are the shop's to say, each with a value that would do."""
EDGE_FIELDS = ("id", "key", "sku", "image_id", "upload")
"""Fields that the edge gives: a path's, and the name of what it has stored."""
WITH_VARIANTS = {"name": "Brass lamp", "variants": [{"sku": "A", "price": USD}]}

JSON = [(path, route) for path, route in all_routes() if route.body_format is BodyFormat.JSON]
READ = [(path, route) for path, route in all_routes() if route.body_format is BodyFormat.NONE]


def _name(entry: Any) -> str:
    return f"{entry[1].method} {entry[0]}"


def some_path(route: Route) -> dict[str, str]:
    """Parameters that a route can read, of things that are not there."""
    known = {"sku": "NO-SUCH", "key": "no-such", "width": "160"}
    return {name: known.get(name, str(new_id())) for name in PATH_PARAMETER.findall(route.path)}


def objects(body: Any, pointer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a body, and where it stands."""
    if isinstance(body, dict):
        yield pointer, body
    for key, value in body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ():
        yield from objects(value, f"{pointer}/{key}")


def replaced(body: Any, pointer: str, value: Any) -> Any:
    """The body with another value at the pointer, which may be new there."""
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
async def test_what_is_ours_to_say_is_refused_in_every_object(
    boss: RegisteredCustomer, entry: tuple[str, Route]
) -> None:
    """Asked by an administrator, who may do the most. Where a model has such a field, its route is for them alone."""
    path, route = entry
    for body in bodies(route):
        for pointer, found in objects(body):
            known = set(route.operation.request.model_fields) if not pointer else set(found)
            extra = {
                name: value for name, value in SERVER_FIELDS.items() if name not in known and not _free(name, pointer)
            }
            said = replaced(body, pointer, {**found, **extra})
            answered = await SampleRequest(some_path(route), said).send(boss.http, path, route)
            assert (answered.status, answered.code) == (422, "invalid"), answered.body
            refused = {error["pointer"] for error in answered.json["errors"]}
            assert {f"{pointer}/{name}" for name in extra} <= refused


def _free(name: str, pointer: str) -> bool:
    """A variant has a price, and nothing else of ours."""
    return name == "price" and pointer.startswith("/variants/")


@pytest.mark.parametrize("entry", JSON, ids=_name)
async def test_what_the_path_or_the_edge_says_is_refused_in_a_body(
    boss: RegisteredCustomer, entry: tuple[str, Route]
) -> None:
    path, route = entry
    foreign = [
        name for name in EDGE_FIELDS if name in some_path(route) or name not in route.operation.request.model_fields
    ]
    for name in foreign:
        said = {**REQUEST_EXAMPLES[route.operation], name: str(new_id())}
        answered = await SampleRequest(some_path(route), said).send(boss.http, path, route)
        assert (answered.status, answered.code) == (422, "invalid"), answered.body
        assert f"/{name}" in {error["pointer"] for error in answered.json["errors"]}


def test_only_administrators_say_what_is_ours() -> None:
    said = {route.operation for _, route in JSON if set(SERVER_FIELDS) & set(route.operation.request.model_fields)}
    assert {operation.access for operation in said} == {Access.ADMIN}


@pytest.mark.parametrize("entry", READ, ids=_name)
async def test_a_query_says_nothing_that_is_ours(boss: RegisteredCustomer, entry: tuple[str, Route]) -> None:
    path, route = entry
    unknown = [name for name in (*SERVER_FIELDS, "upload") if name not in RequestParser(route).query_fields]
    query = "?" + "&".join(f"{name}=1" for name in unknown)
    answered = await SampleRequest(some_path(route), query=query).send(boss.http, path, route)
    assert (answered.status, answered.code) == (400, "malformed"), answered.body
    assert {f"/{name}" for name in unknown} <= {error["pointer"] for error in answered.json["errors"]}
