"""A guest's order over HTTP: its token opens that order and its payments, and nothing else opens them."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from infra.foundation.ids import new_id
from infra.ops.devstack.stack import Stack
from tests.access.fixtures import AccessFixtures, GuestOrder, place_guest_order
from tests.support import data_scan
from tests.support.data_scan import ScanTerms
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, HttpClient, HttpResponse
from tests.support.rpc import RpcCaller

KEY = "0d0a2f37-0d63-4ce5-a4b2-6a3b3c1c7a51"
Database = Callable[[str], Awaitable[asyncpg.Connection]]


async def _place(http: HttpClient, sku: str, key: str | None = None, **more: Any) -> HttpResponse:
    body = {"items": [{"sku": sku, "quantity": 1}], "shipping_address": ADDRESS, "email": "ada@example.com", **more}
    placed = await http.post("/orders", body, key=key)
    assert placed.status == 201, placed.body
    return placed


def _refusal(response: HttpResponse) -> tuple[int, dict[str, Any], str]:
    problem = {name: value for name, value in response.json.items() if name != "request_id"}
    return response.status, problem, response.headers["Content-Type"]


async def test_guest_confirms_the_payment_that_started_with_the_order(fixtures: AccessFixtures) -> None:
    """The whole way from an order with `sim_action` to `paid`, with nothing but its id and its token."""
    placed = await _place(fixtures.http, await fixtures.create_sku(), payment_method="sim_action")
    guest = fixtures.http.with_order_token(placed.json["access_token"])
    order_id = placed.json["id"]

    async def waiting() -> Any:
        listed = (await guest.get(f"/payments?order_id={order_id}")).json["items"]
        return next((one for one in listed if one["status"] == "requires_action"), None)

    payment = await eventually(waiting)
    body = {"client_secret": payment["client_secret"]}
    confirmed = await guest.post(f"/payments/{payment['id']}/confirm", body)
    assert confirmed.status == 200, confirmed.body

    async def paid() -> bool:
        return (await guest.get(f"/orders/{order_id}")).json["status"] == "paid"

    await eventually(paid)
    assert (await guest.get(f"/payments/{payment['id']}")).json["status"] == "captured"
    cancelled = await guest.post(f"/orders/{order_id}/cancel", {})
    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    assert cancelled.json["history"][-1]["note"] == "customer", "a guest cancels as the order's owner"


async def test_guest_pays_an_unpaid_order(fixtures: AccessFixtures) -> None:
    guest_order = await fixtures.create_guest_order()
    guest = fixtures.http.with_order_token(guest_order.token)
    paid = await guest.post(f"/orders/{guest_order.id}/pay", {"payment_method": "sim_ok"})
    assert paid.status == 202, paid.body
    assert (await guest.get(f"/payments/{paid.json['id']}")).status == 200


async def test_every_repeat_of_an_order_returns_the_same_token(fixtures: AccessFixtures, database: Database) -> None:
    """By idempotency key and by cart; no table holds the token."""
    sku, key = await fixtures.create_sku(), str(new_id())
    first, again = await _place(fixtures.http, sku, key), await _place(fixtures.http, sku, key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.json == again.json
    cart_id = await fixtures.create_guest_cart()
    added = await fixtures.http.post(f"/carts/{cart_id}/items", {"sku": sku, "quantity": 1})
    assert added.status == 200, added.body
    body = {"cart_id": cart_id, "shipping_address": ADDRESS, "email": "ada@example.com"}
    placed = [(await fixtures.http.post("/orders", body)).json for _ in range(2)]
    assert placed[0]["id"] == placed[1]["id"]
    assert placed[0]["access_token"] == placed[1]["access_token"] != first.json["access_token"]
    held = await (await database("order")).fetchval(
        "SELECT count(*) FROM idempotency WHERE position(convert_to($1, 'UTF8') IN answer) > 0",
        first.json["access_token"],
    )
    assert held == 0


async def test_customer_gets_no_token(fixtures: AccessFixtures) -> None:
    placed = await _place(fixtures.owner.http, await fixtures.create_sku())
    assert placed.json["access_token"] is None


WRONG_TOKENS = ("-", "a" * 43, "A" * 128, "a" * 4000, "two words", "caf\u00e9", "token, token")


@pytest.mark.parametrize("token", WRONG_TOKENS, ids=lambda token: f"{token[:12]} ({len(token)})")
async def test_wrong_token_and_unknown_order_are_refused_alike(
    fixtures: AccessFixtures, other_guest: GuestOrder, token: str
) -> None:
    guest_order, payment = await fixtures.create_guest_payment("sim_action", "requires_action")
    refusals = []
    for sent, order_id, payment_id in (
        (token, guest_order.id, payment["id"]),
        (token, str(new_id()), str(new_id())),
        (token, await fixtures.create_order(), (await fixtures.create_payment())["id"]),
        (other_guest.token, guest_order.id, payment["id"]),
        (guest_order.token, other_guest.id, str(new_id())),
    ):
        http = fixtures.http.with_order_token(sent)
        secret = {"client_secret": payment["client_secret"]}
        refusals += [
            _refusal(await http.get(f"/orders/{order_id}")),
            _refusal(await http.post(f"/orders/{order_id}/cancel", {})),
            _refusal(await http.delete(f"/orders/{order_id}")),
            _refusal(await http.post(f"/orders/{order_id}/pay", {"payment_method": "sim_ok"})),
            _refusal(await http.post("/payments", {"order_id": order_id, "payment_method": "sim_ok"})),
            _refusal(await http.get(f"/payments/{payment_id}")),
            _refusal(await http.post(f"/payments/{payment_id}/confirm", secret)),
        ]
    assert {refusal[0] for refusal in refusals} == {404}
    assert all(refusal == refusals[0] for refusal in refusals)


async def test_token_adds_only_its_own_order_to_what_a_customer_sees(
    fixtures: AccessFixtures, other_guest: GuestOrder
) -> None:
    """An account and a token in one request: the account's orders and that one order."""
    own = await fixtures.create_order()
    customer = fixtures.owner.http.with_order_token(other_guest.token)
    assert (await customer.get(f"/orders/{other_guest.id}")).status == 200
    assert (await customer.get(f"/orders/{own}")).status == 200
    another = await fixtures.create_guest_order()
    assert (await customer.get(f"/orders/{another.id}")).status == 404
    assert (await fixtures.other_customer.http.with_order_token(other_guest.token).get(f"/orders/{own}")).status == 404
    listed = await customer.get("/orders?limit=100")
    assert [one["id"] for one in listed.json["items"]] == [own]
    refused = await fixtures.http.with_token("no such token").with_order_token(other_guest.token)(
        "GET", f"/orders/{other_guest.id}"
    )
    assert refused.status == 401, "a bad access token is not forgiven"


@pytest.mark.parametrize(
    "change", ["user_id = $2", "email = CASE WHEN $2::uuid IS NULL THEN email END"], ids=["claimed", "erased"]
)
async def test_token_ends_with_the_guest(fixtures: AccessFixtures, database: Database, change: str) -> None:
    """Once an account has claimed the order, or the guest's data is erased."""
    guest_order, payment = await fixtures.create_guest_payment()
    guest = fixtures.http.with_order_token(guest_order.token)
    await (await database("order")).execute(
        f"UPDATE orders SET {change} WHERE id = $1",  # noqa: S608 - from this test
        guest_order.id,
        fixtures.owner.user["id"],
    )
    for path in (f"/orders/{guest_order.id}", f"/payments/{payment['id']}", f"/payments?order_id={guest_order.id}"):
        assert (await guest.get(path)).status == 404, path
    for path, body in (
        (f"/orders/{guest_order.id}/cancel", {}),
        (f"/orders/{guest_order.id}/pay", {"payment_method": "sim_ok"}),
        ("/payments", {"order_id": guest_order.id, "payment_method": "sim_ok"}),
    ):
        assert (await guest.post(path, body)).status == 404, path


async def test_stored_reply_is_returned_only_to_the_holder_of_the_token(
    fixtures: AccessFixtures, other_guest: GuestOrder
) -> None:
    """The same key, body and address with another token get no replay; with the right token, from any address."""
    guest_order = await fixtures.create_guest_order()
    key, path, body = str(new_id()), f"/orders/{guest_order.id}/pay", {"payment_method": "sim_action"}
    paid = await fixtures.http.with_order_token(guest_order.token).post(path, body, key=key)
    assert paid.status == 202, paid.body
    assert (await fixtures.http.with_order_token(other_guest.token).post(path, body, key=key)).status == 404
    assert (await fixtures.http.post(path, body, key=key)).status == 401
    again = await fixtures.http.with_order_token(guest_order.token).post(path, body, key=key)
    assert (again.status, again.json["id"]) == (202, paid.json["id"])


async def test_responses_about_guest_orders_are_stored_nowhere(fixtures: AccessFixtures) -> None:
    placed = await _place(fixtures.http, await fixtures.create_sku())
    read = await fixtures.http.with_order_token(placed.json["access_token"]).get(f"/orders/{placed.json['id']}")
    for response in (placed, read):
        assert response.headers["Cache-Control"] == "no-store"
        assert "Order-Access" in ", ".join(response.headers.getall("Vary"))
    assert "access_token" not in read.json, "it is given with the order only"


async def test_token_is_kept_nowhere(
    fixtures: AccessFixtures, stack: Stack, operator: RpcCaller, database: Database
) -> None:
    """Neither in a table, nor in an event, nor in a log, after an order that was read, paid, refused and cancelled."""
    guest_order = await place_guest_order(fixtures.http, await fixtures.create_sku(), payment_method="sim_ok")
    guest = fixtures.http.with_order_token(guest_order.token)

    async def paid() -> bool:
        return (await guest.get(f"/orders/{guest_order.id}")).json["status"] == "paid"

    await eventually(paid)
    assert (await guest.get(f"/orders/{guest_order.id}?unknown=1")).status == 400
    assert (await guest.post(f"/orders/{guest_order.id}/pay", {"payment_method": "sim_ok"}, key=KEY)).status == 409
    assert (await guest.post(f"/orders/{guest_order.id}/cancel", {}, key=KEY)).status == 200
    terms = ScanTerms([guest_order.token])
    found = data_scan.search_files(stack, terms) + await data_scan.search_streams(operator.client, terms)
    for service in ("order", "payment"):
        found += await data_scan.search_database(await database(service), terms)
    assert found == []
