"""Scenarios of accounts and carts: each prepares a state, crashes a process during a request, and checks the result."""

from functools import partial
from typing import Any

from tests.chaos.crash_harness import EVENTUALLY_SECONDS, CrashOrder, CrashTestShop
from tests.support.eventually import eventually
from tests.support.http import HttpClient

# Accounts.


async def register(shop: CrashTestShop, crash: CrashOrder) -> None:
    async with crash:
        customer, _ = await shop.register()
    assert (await shop.send(customer, "GET", "/users/profile")).status == 200


async def log_in(shop: CrashTestShop, crash: CrashOrder) -> None:
    _, known = await shop.register()
    async with crash:
        response = await shop.send(shop.http, "POST", "/auth/login", _credentials(known))
    assert response.status == 200, response.body


async def log_in_with_wrong_password(shop: CrashTestShop, crash: CrashOrder) -> None:
    _, known = await shop.register()
    async with crash:
        response = await shop.send(shop.http, "POST", "/auth/login", {**_credentials(known), "password": "wrong horse"})
    assert response.status == 401, response.body


async def refresh_session(shop: CrashTestShop, crash: CrashOrder) -> None:
    """A client that lost the response repeats the request and gets the same tokens; the session goes on."""
    _, known = await shop.register()
    async with crash:
        response = await shop.send(shop.http, "POST", "/auth/refresh", _token(known))
    assert response.status == 200, response.body
    assert (await shop.send(shop.http, "POST", "/auth/refresh", _token(response.json))).status == 200


async def reuse_refresh_token(shop: CrashTestShop, crash: CrashOrder) -> None:
    """A used token ends the session once its successor is used too."""
    _, known = await shop.register()
    successor = (await shop.send(shop.http, "POST", "/auth/refresh", _token(known))).json
    following = (await shop.send(shop.http, "POST", "/auth/refresh", _token(successor))).json
    async with crash:
        response = await shop.send(shop.http, "POST", "/auth/refresh", _token(known))
    assert response.status == 401, response.body
    assert (await shop.send(shop.http, "POST", "/auth/refresh", _token(following))).status == 401


async def lose_refreshed_token(shop: CrashTestShop, crash: CrashOrder) -> None:
    """The response and its repetition are both lost: the next repetition gets the same tokens; the session goes on."""
    _, known = await shop.register()
    successor = (await shop.send(shop.http, "POST", "/auth/refresh", _token(known))).json
    async with crash:
        response = await shop.send(shop.http, "POST", "/auth/refresh", _token(known))
    assert response.status == 200, response.body
    assert _token(response.json) == _token(successor)
    assert (await shop.send(shop.http, "POST", "/auth/refresh", _token(successor))).status == 200


async def log_out(shop: CrashTestShop, crash: CrashOrder) -> None:
    _, known = await shop.register()
    async with crash:
        assert (await shop.send(shop.http, "POST", "/auth/logout", _token(known))).status == 204
    assert (await shop.send(shop.http, "POST", "/auth/refresh", _token(known))).status == 401


async def rename_user(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer, _ = await shop.register()
    async with crash:
        response = await shop.send(customer, "PUT", "/users/profile", {"first_name": "Grace", "last_name": "Hopper"})
    assert response.status == 200, response.body
    assert (await shop.send(customer, "GET", "/users/profile")).json["first_name"] == "Grace"


async def close_account(shop: CrashTestShop, crash: CrashOrder) -> None:
    """A client that closes its account and loses the response is logged out or unknown, and is erased in any case."""
    customer, known = await shop.register()
    async with crash:
        assert (await shop.send(customer, "DELETE", "/users/profile", _consent(known))).status in {202, 401, 404}
        await crash.wait_until_triggered()
    forgotten = "SELECT NOT EXISTS (SELECT FROM account WHERE id = $1)"
    shop.final_checks.append(partial(shop.query_value_is_true, "user", forgotten, known["user"]["id"]))


def _credentials(known: dict[str, Any]) -> dict[str, Any]:
    return {"email": known["email"], "password": known["password"]}


def _consent(known: dict[str, Any]) -> dict[str, Any]:
    return {"password": known["password"]}


def _token(session: dict[str, Any]) -> dict[str, Any]:
    return {"refresh_token": session["refresh_token"]}


# Carts.


async def open_cart(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer, _ = await shop.register()
    async with crash:
        opened = (await shop.send(customer, "POST", "/carts")).json
    assert (await shop.send(customer, "GET", "/carts/mine")).json["id"] == opened["id"]


async def fill_cart(shop: CrashTestShop, crash: CrashOrder) -> None:
    sku = (await shop.create_product())["sku"]
    cart_id = await _guest_cart(shop)
    async with crash:
        await _add(shop, shop.http, cart_id, sku)
    assert await _quantities(shop, shop.http, cart_id) == {sku: 2}


async def fill_cart_without_key(shop: CrashTestShop, crash: CrashOrder) -> None:
    """A client without an idempotency key repeats what may be repeated.

    A process that has just started does not know the cart, so it writes the first change by itself and not in a group.
    """
    sku = (await shop.create_product())["sku"]
    cart_id = await _guest_cart(shop)
    async with crash:
        for quantity in range(2, 1000):
            response = await shop.send(shop.http, "PUT", f"/carts/{cart_id}/items/{sku}", {"quantity": quantity})
            assert response.status == 200, response.body
            if crash.is_triggered:
                break
    assert await _quantities(shop, shop.http, cart_id) == {sku: quantity}


async def read_changed_price(shop: CrashTestShop, crash: CrashOrder) -> None:
    """The first request that reads the cart with the new price records that it was shown."""
    product = await shop.create_product()
    cart_id = await _guest_cart(shop, product["sku"])
    await shop.send(shop.admin, "PATCH", f"/products/{product['id']}", {"price": {"amount": 2999, "currency": "USD"}})

    async def new_price() -> bool:
        cart = (await shop.send(shop.http, "GET", f"/carts/{cart_id}")).json
        return bool(cart["total"]["amount"] == 2 * 2999)

    async with crash:
        await eventually(new_price, timeout_seconds=EVENTUALLY_SECONDS)


async def merge_carts(shop: CrashTestShop, crash: CrashOrder) -> None:
    one, other = (await shop.create_product())["sku"], (await shop.create_product())["sku"]
    customer = await customer_with_cart(shop, one)
    guest = await _guest_cart(shop, other)
    async with crash:
        response = await shop.send(customer, "POST", "/carts/mine/merge", {"cart_id": guest})
    assert response.status == 200, response.body
    assert await _quantities(shop, customer, "mine") == {one: 2, other: 2}


async def order_cart(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer = await customer_with_cart(shop, (await shop.create_product())["sku"])
    async with crash:
        order_id = await shop.place_order(customer, cart_id="mine")
    shop.expect_final_status(customer, order_id, "paid")
    shop.final_checks.append(partial(_holds, shop, customer, {}))


async def change_cart_while_ordering(shop: CrashTestShop, crash: CrashOrder) -> None:
    """The cart changes between its order and the payment, so what was not ordered is left in it."""
    async with crash:
        sku, more = (await shop.create_product())["sku"], (await shop.create_product())["sku"]
        customer = await customer_with_cart(shop, sku)
        order_id = await shop.place_order(customer, cart_id="mine", method=None)
        await _add(shop, customer, "mine", more)
        paid = await shop.send(customer, "POST", f"/orders/{order_id}/pay", {"payment_method": "sim_ok"})
        assert paid.status in {200, 201, 202}, paid.body
        shop.expect_final_status(customer, order_id, "paid")
        await eventually(lambda: _holds(shop, customer, {more: 2}), timeout_seconds=EVENTUALLY_SECONDS)


async def _guest_cart(shop: CrashTestShop, sku: str = "") -> str:
    cart_id = str((await shop.send(shop.http, "POST", "/carts")).json["id"])
    if sku:
        await _add(shop, shop.http, cart_id, sku)
    return cart_id


async def customer_with_cart(shop: CrashTestShop, sku: str) -> HttpClient:
    customer, _ = await shop.register()
    await shop.send(customer, "POST", "/carts")
    await _add(shop, customer, "mine", sku)
    return customer


async def _add(shop: CrashTestShop, customer: HttpClient, cart_id: str, sku: str) -> None:
    response = await shop.send(customer, "POST", f"/carts/{cart_id}/items", {"sku": sku, "quantity": 2})
    assert response.status == 200, response.body


async def _quantities(shop: CrashTestShop, customer: HttpClient, cart_id: str) -> dict[str, int]:
    cart = (await shop.send(customer, "GET", f"/carts/{cart_id}")).json
    return {item["sku"]: item["quantity"] for item in cart["items"]}


async def _holds(shop: CrashTestShop, customer: HttpClient, expected: dict[str, int]) -> bool:
    return await _quantities(shop, customer, "mine") == expected
