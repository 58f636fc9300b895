"""Every audited action over HTTP and by the operator has exactly one entry, with the right actor."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import jwt
import orjson
import pytest

from contracts import catalog, order, payment, user
from contracts.access import CallerKind
from contracts.identity import Access
from contracts.operation import OPERATOR, AnyOperation
from contracts.registry import AUDIT_LOGS, OPERATIONS, REDELIVER
from edge.routes import Route, all_routes
from infra.database.audit_log import is_audited
from infra.foundation.ids import new_id
from infra.ops.verify.audit_log_check import HashChain
from tests.access.fixtures import PASSWORD, AccessFixtures
from tests.access.sample_requests import REQUESTS
from tests.support.http import HttpClient
from tests.support.rpc import RpcCaller, admin_identity

Connect = Callable[[str], Awaitable[asyncpg.Connection]]

AUDITED_ROUTES = [(path, route) for path, route in all_routes() if is_audited(route.operation, admin_identity())]
OPERATOR_ACTIONS = [
    one for one in OPERATIONS if one.callers == (OPERATOR,) and one.writes and one not in REDELIVER.values()
]
"""`tests/infra/runtime/test_operator_redelivery.py` shows that redelivered events are audited."""


def _action(operation: AnyOperation) -> str:
    return f"{operation.service}.{operation.name}"


def _caller_for(operation: AnyOperation) -> CallerKind:
    """An administrator where the operation needs one, else the owner of the resource."""
    of_admins = operation.access is Access.ADMIN or any(owned.open_to_admins for owned in operation.owned_resources)
    return CallerKind.ADMIN if of_admins else CallerKind.OWNER


def test_every_log_but_one_has_audited_routes() -> None:
    assert {route.operation.service for _, route in AUDITED_ROUTES} == set(AUDIT_LOGS) - {"notification"}
    assert len(AUDITED_ROUTES) > 20


@pytest.mark.parametrize("entry", AUDITED_ROUTES, ids=lambda one: f"{one[1].method} {one[0]}")
async def test_every_action_has_one_entry(
    fixtures: AccessFixtures, database: Connect, entry: tuple[str, Route]
) -> None:
    path, route = entry
    caller, operation = _caller_for(route.operation), route.operation
    request = await REQUESTS[operation](fixtures, caller)
    response = await request.send(fixtures.client_for(caller), path, route)
    assert response.status == route.status, response.body
    request_id = response.headers["X-Request-Id"]
    connection = await database(operation.service)
    rows = await connection.fetch("SELECT * FROM trail WHERE request_id = $1", request_id)
    assert [row["act"] for row in rows] == [_action(operation)]
    (row,) = rows
    if operation.access is not Access.ANYONE or operation is user.LOGIN:
        assert str(row["actor_id"]) == _signed_in(request.sender or fixtures.client_for(caller))
    assert row["actor_kind"] == "person"
    assert row["client"] == ("127.0.0.71" if caller is CallerKind.ADMIN else "127.0.0.0/24")
    assert row["subject"] == next(iter(request.path.values()), row["subject"])
    await _read_back(fixtures, operation, row)


def _signed_in(http: HttpClient) -> str:
    """The user whose token the client has."""
    assert http.token is not None
    sent: str = jwt.decode(http.token, options={"verify_signature": False})["sub"]
    return sent


async def _read_back(fixtures: AccessFixtures, operation: AnyOperation, row: Any) -> None:
    """Reads the entry as an administrator pages through the log."""
    query = f"?act={_action(operation)}&actor={row['actor_id']}&limit=1"
    (shown,) = (await fixtures.admin.http.get(f"/audit/{operation.service}{query}")).json["items"]
    assert (shown["seq"], shown["hash"], shown["previous"]) == (row["seq"], row["hash"].hex(), row["previous"].hex())


BODIES: dict[AnyOperation, Callable[[AccessFixtures], Awaitable[dict[str, Any]]]] = {}


def _body(operation: AnyOperation) -> Callable[[Any], Any]:
    def register(make: Callable[[AccessFixtures], Awaitable[dict[str, Any]]]) -> Any:
        BODIES[operation] = make
        return make

    return register


@_body(user.MAKE_ADMIN)
async def _admin_account(_fixtures: AccessFixtures) -> dict[str, Any]:
    return {"email": f"boss-{new_id().hex}@example.com", "password": PASSWORD}


@_body(user.ROTATE_KEYS)
async def _empty(_fixtures: AccessFixtures) -> dict[str, Any]:
    return {}


@_body(order.REPAIR)
async def _order_ids(fixtures: AccessFixtures) -> dict[str, Any]:
    return {"ids": [await fixtures.create_order()]}


@_body(payment.REPAIR)
async def _payment_ids(fixtures: AccessFixtures) -> dict[str, Any]:
    return {"ids": [(await fixtures.create_payment())["id"]]}


@_body(catalog.REPAIR)
async def _skus(fixtures: AccessFixtures) -> dict[str, Any]:
    return {"skus": [await fixtures.create_sku()]}


def test_every_operator_action_has_a_body() -> None:
    assert BODIES.keys() == set(OPERATOR_ACTIONS)


@pytest.mark.parametrize("operation", OPERATOR_ACTIONS, ids=lambda one: one.subject)
async def test_operator_actions_are_audited(
    fixtures: AccessFixtures, operator: RpcCaller, database: Connect, operation: AnyOperation
) -> None:
    connection = await database(operation.service)
    last = await connection.fetchval("SELECT coalesce(max(seq), 0) FROM trail")
    await operator(operation, await BODIES[operation](fixtures))
    rows = await connection.fetch("SELECT * FROM trail WHERE seq > $1 AND act = $2", last, _action(operation))
    assert [(row["actor_kind"], row["actor_id"]) for row in rows] == [("operator", None)]


async def test_an_entry_has_values_before_and_after(fixtures: AccessFixtures) -> None:
    account = fixtures.owner.user["id"]
    assert (
        await fixtures.admin.http.put(f"/users/{account}", {"first_name": "Augusta", "role": "admin"})
    ).status == 200
    assert (await fixtures.admin.http.post(f"/users/{account}/ban", {})).status == 200
    items = (await fixtures.admin.http.get(f"/audit/user?subject={account}")).json["items"]
    ban, change = items[:2]
    assert (ban["act"], ban["before"]["is_active"], ban["after"]["is_active"]) == ("user.ban", True, False)
    assert (change["act"], change["before"]) == ("user.update", {"role": "customer"})
    assert change["after"] == {"id": account, "first_name": "not told", "role": "admin"}


async def test_a_reused_refresh_token_is_audited_once(fixtures: AccessFixtures) -> None:
    first = fixtures.owner.session["refresh_token"]
    successor = (await fixtures.http.post("/auth/refresh", {"refresh_token": first})).json["refresh_token"]
    for token in (successor, first, first, first):
        await fixtures.http.post("/auth/refresh", {"refresh_token": token})
    path = f"/audit/user?subject={fixtures.owner.user['id']}&act=user.token_reused"
    (stolen,) = (await fixtures.admin.http.get(path)).json["items"]
    assert stolen["actor"] == {"kind": "anyone", "id": None}


@pytest.mark.parametrize("service", AUDIT_LOGS)
async def test_each_log_is_one_chain_without_email_addresses(database: Connect, service: str) -> None:
    """After everything that these tests have done."""
    connection = await database(service)
    rows = await connection.fetch(
        "SELECT seq, at, act, actor_kind, actor_id, client, trace_id, request_id, subject, before, after, previous, "
        "hash FROM trail ORDER BY seq"
    )
    chain = HashChain(service)
    read = [{**row, "before": orjson.loads(row["before"]), "after": orjson.loads(row["after"])} for row in rows]
    assert [wrong for row in read for wrong in chain.check_next(row)] == []
    assert await connection.fetchval("SELECT count(*) FROM trail AS t WHERE t::text LIKE '%@%'") == 0
