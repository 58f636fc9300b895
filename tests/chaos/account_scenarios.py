"""Visits that end before an order does: accounts and carts. Each prepares something, orders the crash, and looks."""

import asyncio
from functools import partial
from typing import Any

from tests.chaos.crash_harness import EVENTUALLY_SECONDS, CrashOrder, CrashTestShop
from tests.support.eventually import eventually
from tests.support.http import HttpClient

# Accounts.


async def register(shop: CrashTestShop, dies: CrashOrder) -> None:
    async with dies:
        who, _ = await shop.register()
    assert (await shop.send(who, "GET", "/users/profile")).status == 200


async def log_in(shop: CrashTestShop, dies: CrashOrder) -> None:
    _, known = await shop.register()
    async with dies:
        answered = await shop.send(shop.http, "POST", "/auth/login", _credentials(known))
    assert answered.status == 200, answered.body


async def log_in_with_wrong_password(shop: CrashTestShop, dies: CrashOrder) -> None:
    _, known = await shop.register()
    async with dies:
        answered = await shop.send(shop.http, "POST", "/auth/login", {**_credentials(known), "password": "wrong horse"})
    assert answered.status == 401, answered.body


async def refresh_session(shop: CrashTestShop, dies: CrashOrder) -> None:
    """Whoever did not get the answer gets the same one again, and the session goes on."""
    _, known = await shop.register()
    async with dies:
        answered = await shop.send(shop.http, "POST", "/auth/refresh", _token(known))
    assert answered.status == 200, answered.body
    assert (await shop.send(shop.http, "POST", "/auth/refresh", _token(answered.json))).status == 200


async def reuse_refresh_token(shop: CrashTestShop, dies: CrashOrder) -> None:
    """A spent token brings the same successor once more, for whoever lost the answer, and then ends the session."""
    _, known = await shop.register()
    following = (await shop.send(shop.http, "POST", "/auth/refresh", _token(known))).json
    assert (await shop.send(shop.http, "POST", "/auth/refresh", _token(known))).status == 200
    async with dies:
        answered = await shop.send(shop.http, "POST", "/auth/refresh", _token(known))
    assert answered.status == 401, answered.body
    assert (await shop.send(shop.http, "POST", "/auth/refresh", _token(following))).status == 401


async def lose_refreshed_token(shop: CrashTestShop, dies: CrashOrder) -> None:
    """The answer is lost, and the answer to asking again as well: then it is safer to sign in anew."""
    _, known = await shop.register()
    await shop.send(shop.http, "POST", "/auth/refresh", _token(known))
    async with dies:
        answered = await shop.send(shop.http, "POST", "/auth/refresh", _token(known))
    assert answered.status == 401, answered.body


async def log_out(shop: CrashTestShop, dies: CrashOrder) -> None:
    _, known = await shop.register()
    async with dies:
        assert (await shop.send(shop.http, "POST", "/auth/logout", _token(known))).status == 204
    assert (await shop.send(shop.http, "POST", "/auth/refresh", _token(known))).status == 401


async def rename_user(shop: CrashTestShop, dies: CrashOrder) -> None:
    who, _ = await shop.register()
    async with dies:
        answered = await shop.send(who, "PUT", "/users/profile", {"first_name": "Grace", "last_name": "Hopper"})
    assert answered.status == 200, answered.body
    assert (await shop.send(who, "GET", "/users/profile")).json["first_name"] == "Grace"


async def close_account(shop: CrashTestShop, dies: CrashOrder) -> None:
    """Whoever closes the account and gets no answer is signed out, or nobody any more, and forgotten all the same."""
    who, known = await shop.register()
    async with dies:
        assert (await shop.send(who, "DELETE", "/users/profile")).status in {202, 401, 404}
        await dies.wait_until_triggered()
    forgotten = "SELECT NOT EXISTS (SELECT FROM account WHERE id = $1)"
    shop.final_checks.append(partial(shop.query_value_is_true, "user", forgotten, known["user"]["id"]))


def _credentials(known: dict[str, Any]) -> dict[str, Any]:
    return {"email": known["email"], "password": known["password"]}


def _token(session: dict[str, Any]) -> dict[str, Any]:
    return {"refresh_token": session["refresh_token"]}


# Carts.


async def open_cart(shop: CrashTestShop, dies: CrashOrder) -> None:
    who, _ = await shop.register()
    async with dies:
        opened = (await shop.send(who, "POST", "/carts")).json
    assert (await shop.send(who, "GET", "/carts/mine")).json["id"] == opened["id"]


async def fill_cart(shop: CrashTestShop, dies: CrashOrder) -> None:
    sku = (await shop.create_product())["sku"]
    cart_id = await _guest_cart(shop)
    async with dies:
        await _add(shop, shop.http, cart_id, sku)
    assert await _quantities(shop, shop.http, cart_id) == {sku: 2}


async def read_changed_price(shop: CrashTestShop, dies: CrashOrder) -> None:
    """The first to read the cart with the new price writes down that it was seen."""
    product = await shop.create_product()
    cart_id = await _guest_cart(shop, product["sku"])
    await shop.send(shop.admin, "PATCH", f"/products/{product['id']}", {"price": {"amount": 2999, "currency": "USD"}})

    async def new_price() -> bool:
        cart = (await shop.send(shop.http, "GET", f"/carts/{cart_id}")).json
        return bool(cart["total"]["amount"] == 2 * 2999)

    async with dies:
        await eventually(new_price, timeout_seconds=EVENTUALLY_SECONDS)


async def merge_carts(shop: CrashTestShop, dies: CrashOrder) -> None:
    one, other = (await shop.create_product())["sku"], (await shop.create_product())["sku"]
    who = await customer_with_cart(shop, one)
    guest = await _guest_cart(shop, other)
    async with dies:
        answered = await shop.send(who, "POST", "/carts/mine/merge", {"cart_id": guest})
    assert answered.status == 200, answered.body
    assert await _quantities(shop, who, "mine") == {one: 2, other: 2}


async def order_cart(shop: CrashTestShop, dies: CrashOrder) -> None:
    who = await customer_with_cart(shop, (await shop.create_product())["sku"])
    async with dies:
        order_id = await shop.place_order(who, cart_id="mine")
    shop.expect_final_status(who, order_id, "paid")
    shop.final_checks.append(partial(_holds, shop, who, {}))


async def change_cart_while_ordering(shop: CrashTestShop, dies: CrashOrder) -> None:
    """The cart has changed before it hears of its order, for nobody was there to say it.

    Somebody else's order may be the one at which the process dies; then it is tried again.
    """
    async with dies:
        while not dies.is_triggered:
            await _order_and_go_on(shop)


async def _order_and_go_on(shop: CrashTestShop) -> None:
    sku, more = (await shop.create_product())["sku"], (await shop.create_product())["sku"]
    who = await customer_with_cart(shop, sku)
    async with shop.crash_at("order", "order.written") as order_dies:
        ordering = asyncio.create_task(shop.place_order(who, cart_id="mine"))
        await order_dies.wait_until_triggered()
        await _add(shop, who, "mine", more)
    order_id = await ordering
    shop.expect_final_status(who, order_id, "paid")
    ordered = {item["sku"] for item in shop.orders[order_id]["items"]}
    await eventually(
        lambda: _holds(shop, who, {} if more in ordered else {more: 2}), timeout_seconds=EVENTUALLY_SECONDS
    )


async def _guest_cart(shop: CrashTestShop, sku: str = "") -> str:
    cart_id = str((await shop.send(shop.http, "POST", "/carts")).json["id"])
    if sku:
        await _add(shop, shop.http, cart_id, sku)
    return cart_id


async def customer_with_cart(shop: CrashTestShop, sku: str) -> HttpClient:
    who, _ = await shop.register()
    await shop.send(who, "POST", "/carts")
    await _add(shop, who, "mine", sku)
    return who


async def _add(shop: CrashTestShop, who: HttpClient, cart_id: str, sku: str) -> None:
    answered = await shop.send(who, "POST", f"/carts/{cart_id}/items", {"sku": sku, "quantity": 2})
    assert answered.status == 200, answered.body


async def _quantities(shop: CrashTestShop, who: HttpClient, cart_id: str) -> dict[str, int]:
    cart = (await shop.send(who, "GET", f"/carts/{cart_id}")).json
    return {item["sku"]: item["quantity"] for item in cart["items"]}


async def _holds(shop: CrashTestShop, who: HttpClient, wanted: dict[str, int]) -> bool:
    return await _quantities(shop, who, "mine") == wanted
