"""Every route as every kind of caller, over HTTP through Nginx: the responses are those of the access table."""

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
from infra.ops.cli.docs import GENERATED, REPOSITORY
from tests.access.fixtures import AccessFixtures
from tests.access.sample_request import RequestFactory
from tests.access.sample_requests import REQUESTS, REQUESTS_BY_FIELD
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
    naming = f" with {row.id_field}" if (route.operation, row.id_field) in REQUESTS_BY_FIELD else ""
    return f"{route.method} {path}{naming}"


def _make(row: AccessRule) -> RequestFactory:
    return REQUESTS_BY_FIELD.get((row.operation, row.id_field)) or REQUESTS[row.operation]


def test_every_route_has_a_sample_request() -> None:
    assert {route.operation for _, route in all_routes()} == REQUESTS.keys()
    optional = {
        (row.operation, row.id_field)
        for _, route, row in TABLE
        if row.id_field and row.operation.request.model_fields[row.id_field].is_required() is False
    }
    assert optional == REQUESTS_BY_FIELD.keys()


def test_operations_declare_their_refusals() -> None:
    for operation in OPERATIONS:
        if EDGE in operation.callers:
            refusals = {row.refusal(caller) for row in access_rules(operation) for caller in CallerKind} - {None}
            assert refusals <= set(operation.all_failures()), operation.subject


def test_the_documented_table_is_current() -> None:
    assert (REPOSITORY / GENERATED / "access.md").read_text() == "\n".join(access_table_lines()) + "\n", (
        "run `souk docs`"
    )


def _outcome(response: HttpResponse, route: Route) -> str:
    if response.status == route.status:
        return "yes"
    return f"{response.status} {response.json.get('code')}"


def _expected(row: AccessRule, caller: CallerKind) -> str:
    refusal = row.refusal(caller)
    return f"{int(refusal.status)} {refusal.code}" if refusal else "yes"


@pytest.mark.parametrize("entry", TABLE, ids=_id)
async def test_every_caller_gets_the_response_of_the_table(
    fixtures: AccessFixtures, entry: tuple[str, Route, AccessRule]
) -> None:
    """Refused callers come first, all on the same resource: the allowed caller after them finds it unchanged."""
    path, route, row = entry
    expected = {caller: _expected(row, caller) for caller in CallerKind}
    outcomes: dict[CallerKind, str] = {}
    request = await _make(row)(fixtures, CallerKind.OWNER)
    for caller in sorted(CallerKind, key=lambda one: expected[one] == "yes"):
        if "yes" in outcomes.values():
            request = await _make(row)(fixtures, caller)
        outcomes[caller] = _outcome(
            await request.send(fixtures.client_for(caller, route.operation), path, route), route
        )
    assert outcomes == expected


@pytest.mark.parametrize("entry", SCOPED, ids=_id)
async def test_an_api_key_without_the_scope_is_refused(
    fixtures: AccessFixtures, entry: tuple[str, Route, AccessRule]
) -> None:
    """All other scopes do not help; the refusal names the missing scope."""
    path, route, row = entry
    scope = route.operation.scope
    response = await (await _make(row)(fixtures, CallerKind.OWNER)).send(fixtures.key_without(scope), path, route)
    assert (response.status, response.code) == (403, "scope_missing")
    assert scope in response.json["detail"]


def test_every_scope_is_used_and_none_changes_accounts() -> None:
    opened = {one for one in OPERATIONS if one.open_to_api_keys and not one.is_public}
    assert {one.scope for one in opened} == set(ApiKeyScope)
    assert not [one.subject for one in opened if one.service == user.SERVICE and one.writes]


async def test_an_api_key_without_the_scope_reads_public_data(fixtures: AccessFixtures) -> None:
    """But it does not see what only administrators see."""
    product = await fixtures.create_product()
    assert (await fixtures.admin.http.delete(f"/products/{product}")).status == 204
    for key, status in (
        (fixtures.keys.with_scope[ApiKeyScope.CATALOG_READ], 200),
        (fixtures.keys.without_scope[ApiKeyScope.CATALOG_READ], 404),
    ):
        assert (await fixtures.http.with_token(key).get(f"/products/{product}")).status == status
        assert (await fixtures.http.with_token(key).get("/products?limit=1")).status == 200


@pytest.mark.parametrize("entry", LISTS, ids=_id)
async def test_lists_show_only_own_resources(fixtures: AccessFixtures, entry: tuple[str, Route, AccessRule]) -> None:
    """Administrators see everyone's where the table says so."""
    path, route, row = entry
    await fixtures.create_address()
    await fixtures.create_payment()
    request = await _make(row)(fixtures, CallerKind.OWNER)

    async def own() -> Any:
        return _ids((await request.send(fixtures.owner.http, path, route)).json)

    ids: list[str] = await eventually(own)
    assert row.resource is not None
    for caller in (CallerKind.OTHER_CUSTOMER, CallerKind.ADMIN):
        seen = _ids((await request.send(fixtures.client_for(caller), path, route)).json)
        assert bool(set(ids) & set(seen)) == (caller is CallerKind.ADMIN and row.resource.open_to_admins), caller
    if row.needs_scope:
        response = await request.send(fixtures.client_for(CallerKind.API_KEY, route.operation), path, route)
        assert set(ids) & set(_ids(response.json)), "a machine works for the shop"


def _ids(sent: Any) -> list[str]:
    return [str(item["id"]) for item in sent.get("items", [sent])]


async def test_a_list_filtered_by_another_customer_s_resource_is_empty(fixtures: AccessFixtures) -> None:
    payment = await fixtures.create_payment()
    others = await fixtures.other_customer.http.get(f"/payments?order_id={payment['order_id']}")
    assert (others.status, others.json["items"]) == (200, [])
    assert (await fixtures.owner.http.get(f"/payments?order_id={payment['order_id']}")).json["items"] == [payment]
    number = (await fixtures.owner.http.get(f"/orders/{payment['order_id']}")).json["number"]
    assert (await fixtures.other_customer.http.get(f"/orders?number={number}")).json["items"] == []
    refused = await fixtures.other_customer.http.get(f"/orders?user_id={fixtures.owner.user['id']}")
    assert (refused.status, refused.code) == (403, "forbidden")


async def test_a_customer_s_cart_cannot_be_merged(fixtures: AccessFixtures) -> None:
    cart_id, _ = await fixtures.create_cart()
    for caller in (CallerKind.OTHER_CUSTOMER, CallerKind.ADMIN, CallerKind.OWNER):
        response = await fixtures.client_for(caller).post("/carts/mine/merge", {"cart_id": cart_id})
        assert (response.status, response.code) == (404, "not_found"), caller
    assert len((await fixtures.owner.http.get("/carts/mine")).json["items"]) == 1


REFUSED_TO_KEYS = [one for one in OPERATIONS if EDGE in one.callers and not (one.open_to_api_keys and one.is_public)]
AUTHENTICATED = [one for one in OPERATIONS if EDGE in one.callers and one.access is not Access.ANYONE]


@pytest.mark.parametrize("operation", AUTHENTICATED, ids=lambda one: one.subject)
async def test_services_refuse_callers_themselves(rpc: RpcCaller, operation: AnyOperation) -> None:
    """Over NATS, behind the edge's own check."""
    with pytest.raises(Unauthorized):
        await rpc.raw(operation, {})
    if not operation.open_to_order_tokens:
        with pytest.raises(Unauthorized):
            await rpc.raw(operation, {}, order_token="a" * 43)
    if operation.access is Access.ADMIN:
        with pytest.raises(Forbidden):
            await rpc.raw(operation, {}, identity=customer_identity())


@pytest.mark.parametrize("operation", REFUSED_TO_KEYS, ids=lambda one: one.subject)
async def test_services_refuse_api_keys_themselves(rpc: RpcCaller, operation: AnyOperation) -> None:
    scopes = tuple(scope for scope in ApiKeyScope if not operation.open_to_api_keys or scope is not operation.scope)
    with pytest.raises(ScopeMissing if operation.open_to_api_keys else Forbidden):
        await rpc.raw(operation, {}, identity=api_key_identity(*scopes))
