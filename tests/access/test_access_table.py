"""Every route, tried by everybody, over HTTP through Nginx: what each is told is what the table says."""

from typing import Any

import pytest

from contracts import user
from contracts.access import Asker, Row, rows_of
from contracts.failure import Forbidden, ScopeMissing, Unauthorized
from contracts.identity import Access, Scope
from contracts.operation import EDGE, AnyOperation
from contracts.registry import OPERATIONS
from edge.openapi.access_table import lines
from edge.routes import Route, every
from infra.ops.cli.docs import ROOT
from tests.access.fixtures import World
from tests.access.sample_requests import NAMING, REQUESTS, Make
from tests.support.eventually import eventually
from tests.support.http import Answered
from tests.support.rpc import Edge, customer, machine

TABLE = [(path, route, row) for path, route in every() for row in rows_of(route.operation)]
SCOPED = [entry for entry in TABLE if entry[2].needs_scope]
LISTS = [(path, route, row) for path, route, row in TABLE if route.method == "GET" and row.owned and not row.names]


def _id(entry: Any) -> str:
    path, route, row = entry
    naming = f" with {row.names}" if (route.operation, row.names) in NAMING else ""
    return f"{route.method} {path}{naming}"


def _make(row: Row) -> Make:
    return NAMING.get((row.operation, row.names)) or REQUESTS[row.operation]


def test_every_route_has_a_request_and_every_request_a_route() -> None:
    assert {route.operation for _, route in every()} == REQUESTS.keys()
    optional = {
        (row.operation, row.names)
        for _, route, row in TABLE
        if row.names and row.operation.request.model_fields[row.names].is_required() is False
    }
    assert optional == NAMING.keys()


def test_every_operation_of_clients_is_in_the_table_and_declares_its_refusals() -> None:
    for operation in OPERATIONS:
        if EDGE in operation.callers:
            refusals = {row.refusal(asker) for row in rows_of(operation) for asker in Asker} - {None}
            assert refusals <= set(operation.every_failure()), operation.subject


def test_the_table_that_is_read_is_the_one_that_holds() -> None:
    assert (ROOT / "docs" / "access.md").read_text() == "\n".join(lines()) + "\n", "run `souk docs`"


def _told(answered: Answered, route: Route) -> str:
    if answered.status == route.status:
        return "yes"
    return f"{answered.status} {answered.json.get('code')}"


def _expected(row: Row, asker: Asker) -> str:
    refusal = row.refusal(asker)
    return f"{int(refusal.status)} {refusal.code}" if refusal else "yes"


@pytest.mark.parametrize("entry", TABLE, ids=_id)
async def test_everybody_is_told_what_the_table_says(world: World, entry: tuple[str, Route, Row]) -> None:
    """Those who may not come first, all to the same thing: who may after them finds it as it was."""
    path, route, row = entry
    expected = {asker: _expected(row, asker) for asker in Asker}
    told: dict[Asker, str] = {}
    request = await _make(row)(world, Asker.OWNER)
    for asker in sorted(Asker, key=lambda one: expected[one] == "yes"):
        if "yes" in told.values():
            request = await _make(row)(world, asker)
        told[asker] = _told(await request.sent(world.client(asker, route.operation), path, route), route)
    assert told == expected


@pytest.mark.parametrize("entry", SCOPED, ids=_id)
async def test_a_key_does_nothing_without_the_scope(world: World, entry: tuple[str, Route, Row]) -> None:
    """Nor with all the others; it is told which."""
    path, route, row = entry
    scope = route.operation.scope
    answered = await (await _make(row)(world, Asker.OWNER)).sent(world.key_without(scope), path, route)
    assert (answered.status, answered.code) == (403, "scope_missing")
    assert scope in answered.json["detail"]


def test_every_scope_opens_something_and_none_changes_accounts() -> None:
    opened = {one for one in OPERATIONS if one.open_to_keys and not one.is_public}
    assert {one.scope for one in opened} == set(Scope)
    assert not [one.subject for one in opened if one.service == user.SERVICE and one.writes]


async def test_a_key_without_the_scope_reads_what_everybody_reads(world: World) -> None:
    """And not what administrators see of it."""
    product = await world.product()
    assert (await world.boss.http.delete(f"/products/{product}")).status == 204
    for key, status in ((world.keys.having[Scope.CATALOG_READ], 200), (world.keys.lacking[Scope.CATALOG_READ], 404)):
        assert (await world.http.as_(key).get(f"/products/{product}")).status == status
        assert (await world.http.as_(key).get("/products?limit=1")).status == 200


@pytest.mark.parametrize("entry", LISTS, ids=_id)
async def test_what_is_listed_is_one_s_own(world: World, entry: tuple[str, Route, Row]) -> None:
    """Everybody's, where the table says so of administrators."""
    path, route, row = entry
    await world.address()
    await world.payment()
    request = await _make(row)(world, Asker.OWNER)

    async def own() -> Any:
        return _ids((await request.sent(world.owner.http, path, route)).json)

    ids: list[str] = await eventually(own)
    assert row.owned is not None
    for asker in (Asker.ANOTHER, Asker.ADMIN):
        seen = _ids((await request.sent(world.client(asker), path, route)).json)
        assert bool(set(ids) & set(seen)) == (asker is Asker.ADMIN and row.owned.admins), asker
    if row.needs_scope:
        answered = await request.sent(world.client(Asker.KEY, route.operation), path, route)
        assert set(ids) & set(_ids(answered.json)), "a machine works for the shop"


def _ids(said: Any) -> list[str]:
    return [str(item["id"]) for item in said.get("items", [said])]


async def test_a_list_narrowed_to_another_s_things_shows_nothing(world: World) -> None:
    payment = await world.payment()
    theirs = await world.another.http.get(f"/payments?order_id={payment['order_id']}")
    assert (theirs.status, theirs.json["items"]) == (200, [])
    assert (await world.owner.http.get(f"/payments?order_id={payment['order_id']}")).json["items"] == [payment]
    number = (await world.owner.http.get(f"/orders/{payment['order_id']}")).json["number"]
    assert (await world.another.http.get(f"/orders?number={number}")).json["items"] == []
    refused = await world.another.http.get(f"/orders?user_id={world.owner.user['id']}")
    assert (refused.status, refused.code) == (403, "forbidden")


async def test_another_s_cart_joins_nobody_s(world: World) -> None:
    cart_id, _ = await world.cart()
    for asker in (Asker.ANOTHER, Asker.ADMIN, Asker.OWNER):
        answered = await world.client(asker).post("/carts/mine/merge", {"cart_id": cart_id})
        assert (answered.status, answered.code) == (404, "not_found"), asker
    assert len((await world.owner.http.get("/carts/mine")).json["items"]) == 1


LOCKED = [one for one in OPERATIONS if EDGE in one.callers and not (one.open_to_keys and one.is_public)]
CLOSED = [one for one in OPERATIONS if EDGE in one.callers and one.access is not Access.ANYONE]


@pytest.mark.parametrize("operation", CLOSED, ids=lambda one: one.subject)
async def test_a_service_refuses_by_itself_whom_the_edge_refuses(ask: Edge, operation: AnyOperation) -> None:
    """Over NATS, past what the edge refuses early."""
    with pytest.raises(Unauthorized):
        await ask.raw(operation, {})
    if operation.access is Access.ADMIN:
        with pytest.raises(Forbidden):
            await ask.raw(operation, {}, identity=customer())


@pytest.mark.parametrize("operation", LOCKED, ids=lambda one: one.subject)
async def test_a_service_refuses_a_key_by_itself(ask: Edge, operation: AnyOperation) -> None:
    scopes = tuple(scope for scope in Scope if not operation.open_to_keys or scope is not operation.scope)
    with pytest.raises(ScopeMissing if operation.open_to_keys else Forbidden):
        await ask.raw(operation, {}, identity=machine(*scopes))
