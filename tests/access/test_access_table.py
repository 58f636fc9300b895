"""Every route, tried by everybody, over HTTP through Nginx: what each is told is what the table says."""

from typing import Any

import pytest

from contracts import user
from contracts.access import AccessRule, CallerKind, access_rules
from contracts.failure import Forbidden, ScopeMissing, Unauthorized
from contracts.identity import Access, ApiKeyScope
from contracts.operation import EDGE, AnyOperation
from contracts.registry import OPERATIONS
from edge.openapi.access_table import access_table_lines
from edge.routes import Route, all_routes
from infra.ops.cli.docs import ROOT
from tests.access.fixtures import AccessFixtures
from tests.access.sample_requests import REQUESTS, REQUESTS_BY_FIELD, RequestFactory
from tests.support.eventually import eventually
from tests.support.http import HttpResponse
from tests.support.rpc import RpcCaller, api_key_identity, customer_identity

TABLE = [(path, route, row) for path, route in all_routes() for row in access_rules(route.operation)]
SCOPED = [entry for entry in TABLE if entry[2].needs_scope]
LISTS = [
    (path, route, row) for path, route, row in TABLE if route.method == "GET" and row.resource and not row.id_field
]


def _id(entry: Any) -> str:
    path, route, row = entry
    naming = f" with {row.names}" if (route.operation, row.names) in REQUESTS_BY_FIELD else ""
    return f"{route.method} {path}{naming}"


def _make(row: AccessRule) -> RequestFactory:
    return REQUESTS_BY_FIELD.get((row.operation, row.id_field)) or REQUESTS[row.operation]


def test_every_route_has_a_request_and_every_request_a_route() -> None:
    assert {route.operation for _, route in all_routes()} == REQUESTS.keys()
    optional = {
        (row.operation, row.id_field)
        for _, route, row in TABLE
        if row.id_field and row.operation.request.model_fields[row.id_field].is_required() is False
    }
    assert optional == REQUESTS_BY_FIELD.keys()


def test_every_operation_of_clients_is_in_the_table_and_declares_its_refusals() -> None:
    for operation in OPERATIONS:
        if EDGE in operation.callers:
            refusals = {row.refusal(asker) for row in access_rules(operation) for asker in CallerKind} - {None}
            assert refusals <= set(operation.all_failures()), operation.subject


def test_the_table_that_is_read_is_the_one_that_holds() -> None:
    assert (ROOT / "docs" / "access.md").read_text() == "\n".join(access_table_lines()) + "\n", "run `souk docs`"


def _told(answered: HttpResponse, route: Route) -> str:
    if answered.status == route.status:
        return "yes"
    return f"{answered.status} {answered.json.get('code')}"


def _expected(row: AccessRule, asker: CallerKind) -> str:
    refusal = row.refusal(asker)
    return f"{int(refusal.status)} {refusal.code}" if refusal else "yes"


@pytest.mark.parametrize("entry", TABLE, ids=_id)
async def test_everybody_is_told_what_the_table_says(
    world: AccessFixtures, entry: tuple[str, Route, AccessRule]
) -> None:
    """Those who may not come first, all to the same thing: who may after them finds it as it was."""
    path, route, row = entry
    expected = {asker: _expected(row, asker) for asker in CallerKind}
    told: dict[CallerKind, str] = {}
    request = await _make(row)(world, CallerKind.OWNER)
    for asker in sorted(CallerKind, key=lambda one: expected[one] == "yes"):
        if "yes" in told.values():
            request = await _make(row)(world, asker)
        told[asker] = _told(await request.send(world.client_for(asker, route.operation), path, route), route)
    assert told == expected


@pytest.mark.parametrize("entry", SCOPED, ids=_id)
async def test_a_key_does_nothing_without_the_scope(
    world: AccessFixtures, entry: tuple[str, Route, AccessRule]
) -> None:
    """Nor with all the others; it is told which."""
    path, route, row = entry
    scope = route.operation.scope
    answered = await (await _make(row)(world, CallerKind.OWNER)).send(world.key_without(scope), path, route)
    assert (answered.status, answered.code) == (403, "scope_missing")
    assert scope in answered.json["detail"]


def test_every_scope_opens_something_and_none_changes_accounts() -> None:
    opened = {one for one in OPERATIONS if one.open_to_api_keys and not one.is_public}
    assert {one.scope for one in opened} == set(ApiKeyScope)
    assert not [one.subject for one in opened if one.service == user.SERVICE and one.writes]


async def test_a_key_without_the_scope_reads_what_everybody_reads(world: AccessFixtures) -> None:
    """And not what administrators see of it."""
    product = await world.create_product()
    assert (await world.admin.http.delete(f"/products/{product}")).status == 204
    for key, status in (
        (world.keys.with_scope[ApiKeyScope.CATALOG_READ], 200),
        (world.keys.without_scope[ApiKeyScope.CATALOG_READ], 404),
    ):
        assert (await world.http.with_token(key).get(f"/products/{product}")).status == status
        assert (await world.http.with_token(key).get("/products?limit=1")).status == 200


@pytest.mark.parametrize("entry", LISTS, ids=_id)
async def test_what_is_listed_is_one_s_own(world: AccessFixtures, entry: tuple[str, Route, AccessRule]) -> None:
    """Everybody's, where the table says so of administrators."""
    path, route, row = entry
    await world.create_address()
    await world.create_payment()
    request = await _make(row)(world, CallerKind.OWNER)

    async def own() -> Any:
        return _ids((await request.send(world.owner.http, path, route)).json)

    ids: list[str] = await eventually(own)
    assert row.resource is not None
    for asker in (CallerKind.OTHER_CUSTOMER, CallerKind.ADMIN):
        seen = _ids((await request.send(world.client_for(asker), path, route)).json)
        assert bool(set(ids) & set(seen)) == (asker is CallerKind.ADMIN and row.resource.open_to_admins), asker
    if row.needs_scope:
        answered = await request.send(world.client_for(CallerKind.API_KEY, route.operation), path, route)
        assert set(ids) & set(_ids(answered.json)), "a machine works for the shop"


def _ids(said: Any) -> list[str]:
    return [str(item["id"]) for item in said.get("items", [said])]


async def test_a_list_narrowed_to_another_s_things_shows_nothing(world: AccessFixtures) -> None:
    payment = await world.create_payment()
    theirs = await world.other_customer.http.get(f"/payments?order_id={payment['order_id']}")
    assert (theirs.status, theirs.json["items"]) == (200, [])
    assert (await world.owner.http.get(f"/payments?order_id={payment['order_id']}")).json["items"] == [payment]
    number = (await world.owner.http.get(f"/orders/{payment['order_id']}")).json["number"]
    assert (await world.other_customer.http.get(f"/orders?number={number}")).json["items"] == []
    refused = await world.other_customer.http.get(f"/orders?user_id={world.owner.user['id']}")
    assert (refused.status, refused.code) == (403, "forbidden")


async def test_another_s_cart_joins_nobody_s(world: AccessFixtures) -> None:
    cart_id, _ = await world.create_cart()
    for asker in (CallerKind.OTHER_CUSTOMER, CallerKind.ADMIN, CallerKind.OWNER):
        answered = await world.client_for(asker).post("/carts/mine/merge", {"cart_id": cart_id})
        assert (answered.status, answered.code) == (404, "not_found"), asker
    assert len((await world.owner.http.get("/carts/mine")).json["items"]) == 1


LOCKED = [one for one in OPERATIONS if EDGE in one.callers and not (one.open_to_api_keys and one.is_public)]
CLOSED = [one for one in OPERATIONS if EDGE in one.callers and one.access is not Access.ANYONE]


@pytest.mark.parametrize("operation", CLOSED, ids=lambda one: one.subject)
async def test_a_service_refuses_by_itself_whom_the_edge_refuses(ask: RpcCaller, operation: AnyOperation) -> None:
    """Over NATS, past what the edge refuses early."""
    with pytest.raises(Unauthorized):
        await ask.raw(operation, {})
    if operation.access is Access.ADMIN:
        with pytest.raises(Forbidden):
            await ask.raw(operation, {}, identity=customer_identity())


@pytest.mark.parametrize("operation", LOCKED, ids=lambda one: one.subject)
async def test_a_service_refuses_a_key_by_itself(ask: RpcCaller, operation: AnyOperation) -> None:
    scopes = tuple(scope for scope in ApiKeyScope if not operation.open_to_api_keys or scope is not operation.scope)
    with pytest.raises(ScopeMissing if operation.open_to_api_keys else Forbidden):
        await ask.raw(operation, {}, identity=api_key_identity(*scopes))
