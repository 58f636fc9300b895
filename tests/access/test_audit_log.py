"""Every act that belongs into the audit trail, done over HTTP or by the operator: there is one note of it, and who."""

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

NOTED = [(path, route) for path, route in all_routes() if is_audited(route.operation, admin_identity())]
BY_OPERATOR = [one for one in OPERATIONS if one.callers == (OPERATOR,) and one.writes and one not in REDELIVER.values()]
"""That events which are handed over are noted shows `tests/infra/runtime/test_redelivery_handler.py`."""


def _act(operation: AnyOperation) -> str:
    return f"{operation.service}.{operation.name}"


def _asker(operation: AnyOperation) -> CallerKind:
    """An administrator where it takes one; else whoever does it with what is their own."""
    of_admins = operation.access is Access.ADMIN or any(owned.open_to_admins for owned in operation.owned_resources)
    return CallerKind.ADMIN if of_admins else CallerKind.OWNER


def test_there_are_such_acts_in_every_trail_but_one() -> None:
    assert {route.operation.service for _, route in NOTED} == set(AUDIT_LOGS) - {"notification"}
    assert len(NOTED) > 20


@pytest.mark.parametrize("entry", NOTED, ids=lambda one: f"{one[1].method} {one[0]}")
async def test_every_act_is_noted_once(world: AccessFixtures, database: Connect, entry: tuple[str, Route]) -> None:
    path, route = entry
    asker, operation = _asker(route.operation), route.operation
    request = await REQUESTS[operation](world, asker)
    answered = await request.send(world.client_for(asker), path, route)
    assert answered.status == route.status, answered.body
    request_id = answered.headers["X-Request-Id"]
    connection = await database(operation.service)
    rows = await connection.fetch("SELECT * FROM trail WHERE request_id = $1", request_id)
    assert [row["act"] for row in rows] == [_act(operation)]
    (row,) = rows
    if operation.access is not Access.ANYONE or operation is user.LOGIN:
        assert str(row["actor_id"]) == _signed_in(request.sender or world.client_for(asker))
    assert row["actor_kind"] == "person"
    assert row["client"] == ("127.0.0.71" if asker is CallerKind.ADMIN else "127.0.0.0/24")
    for name in request.path.values():
        assert row["subject"] == name
    await _read_back(world, operation, row)


def _signed_in(http: HttpClient) -> str:
    """Whose token it is."""
    assert http.token is not None
    said: str = jwt.decode(http.token, options={"verify_signature": False})["sub"]
    return said


async def _read_back(world: AccessFixtures, operation: AnyOperation, row: Any) -> None:
    """As an administrator pages through it."""
    query = f"?act={_act(operation)}&actor={row['actor_id']}&limit=1"
    (shown,) = (await world.admin.http.get(f"/audit/{operation.service}{query}")).json["items"]
    assert (shown["seq"], shown["hash"], shown["previous"]) == (row["seq"], row["hash"].hex(), row["previous"].hex())


BODIES: dict[AnyOperation, Callable[[AccessFixtures], Awaitable[dict[str, Any]]]] = {}


def _body(operation: AnyOperation) -> Callable[[Any], Any]:
    def kept(make: Callable[[AccessFixtures], Awaitable[dict[str, Any]]]) -> Any:
        BODIES[operation] = make
        return make

    return kept


@_body(user.MAKE_ADMIN)
async def _somebody(_world: AccessFixtures) -> dict[str, Any]:
    return {"email": f"boss-{new_id().hex}@example.com", "password": PASSWORD}


@_body(user.ROTATE_KEYS)
async def _nothing(_world: AccessFixtures) -> dict[str, Any]:
    return {}


@_body(order.REPAIR)
async def _an_order(world: AccessFixtures) -> dict[str, Any]:
    return {"ids": [await world.create_order()]}


@_body(payment.REPAIR)
async def _a_payment(world: AccessFixtures) -> dict[str, Any]:
    return {"ids": [(await world.create_payment())["id"]]}


@_body(catalog.REPAIR)
async def _stock(world: AccessFixtures) -> dict[str, Any]:
    return {"skus": [await world.create_sku()]}


def test_every_operator_s_act_is_tried() -> None:
    assert BODIES.keys() == set(BY_OPERATOR)


@pytest.mark.parametrize("operation", BY_OPERATOR, ids=lambda one: one.subject)
async def test_what_the_operator_does_is_noted(
    world: AccessFixtures, operator: RpcCaller, database: Connect, operation: AnyOperation
) -> None:
    connection = await database(operation.service)
    last = await connection.fetchval("SELECT coalesce(max(seq), 0) FROM trail")
    await operator(operation, await BODIES[operation](world))
    rows = await connection.fetch("SELECT * FROM trail WHERE seq > $1 AND act = $2", last, _act(operation))
    assert [(row["actor_kind"], row["actor_id"]) for row in rows] == [("operator", None)]


async def test_what_was_before_stands_beside_what_is_now(world: AccessFixtures) -> None:
    account = world.owner.user["id"]
    assert (await world.admin.http.put(f"/users/{account}", {"first_name": "Augusta", "role": "admin"})).status == 200
    assert (await world.admin.http.post(f"/users/{account}/ban", {})).status == 200
    items = (await world.admin.http.get(f"/audit/user?subject={account}")).json["items"]
    ban, change = items[:2]
    assert (ban["act"], ban["before"]["is_active"], ban["after"]["is_active"]) == ("user.ban", True, False)
    assert (change["act"], change["before"]) == ("user.update", {"role": "customer"})
    assert change["after"] == {"id": account, "first_name": "not told", "role": "admin"}


async def test_a_stolen_token_is_noted_once(world: AccessFixtures) -> None:
    first = world.owner.session["refresh_token"]
    for _ in range(4):
        await world.http.post("/auth/refresh", {"refresh_token": first})
    path = f"/audit/user?subject={world.owner.user['id']}&act=user.token_reused"
    (stolen,) = (await world.admin.http.get(path)).json["items"]
    assert stolen["actor"] == {"kind": "anyone", "id": None}


@pytest.mark.parametrize("service", AUDIT_LOGS)
async def test_each_trail_is_one_chain_and_holds_no_e_mail(database: Connect, service: str) -> None:
    """After all that these tests have done."""
    connection = await database(service)
    rows = await connection.fetch(
        "SELECT seq, at, act, actor_kind, actor_id, client, trace_id, request_id, subject, before, after, previous, "
        "hash FROM trail ORDER BY seq"
    )
    chain = HashChain(service)
    read = [{**row, "before": orjson.loads(row["before"]), "after": orjson.loads(row["after"])} for row in rows]
    assert [wrong for row in read for wrong in chain.check_next(row)] == []
    assert await connection.fetchval("SELECT count(*) FROM trail AS t WHERE t::text LIKE '%@%'") == 0
