"""A request of every operation that would do what it says, if whoever sends it may: on things that are the owner's."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from contracts import cart, catalog, notification, order, payment, user
from contracts.access import Asker
from contracts.notification import Kind
from contracts.operation import AnyOperation
from contracts.registry import TRAIL
from contracts.user.api_keys import KEY_PREFIX
from edge.openapi.examples import EXAMPLES
from edge.routes import BASE, Media, Route
from infra.foundation.ids import new_id
from tests.access.fixtures import FORM, World, a_form
from tests.support.http import ADDRESS, Answered, Http, register

CSV = b"Handle,Title,Variant Price\n"
USD = {"amount": 1999, "currency": "USD"}


@dataclass(frozen=True)
class Request:
    """What fills a route's path, its body and its query."""

    path: dict[str, str] = field(default_factory=dict)
    body: Any = None
    query: str = ""
    sender: Http | None = None
    """Who sends it in the place of whoever is signed in: somebody of the same role whom nobody needs afterwards."""

    def target(self, path: str) -> str:
        """Of a whole path: below `/api/v1`, or at the root."""
        filled = path.format(**self.path) + self.query
        return filled.removeprefix(BASE) if filled.startswith(BASE) else f"/{filled}"

    async def sent(self, http: Http, path: str, route: Route) -> Answered:
        if self.sender and http.token and not http.token.startswith(KEY_PREFIX):
            http = self.sender
        if route.media is Media.IMAGE:
            return await http(route.method, self.target(path), data=a_form(), headers={"Content-Type": FORM})
        if route.media is Media.CSV:
            return await http(route.method, self.target(path), data=CSV, headers={"Content-Type": "text/csv"})
        return await http(route.method, self.target(path), self.body)


Make = Callable[[World, Asker], Awaitable[Request]]


def a_product() -> dict[str, Any]:
    return {"name": "Brass lamp", "sku": f"A-{new_id().hex}", "price": USD, "stock": 5}


def _plain(body: Any = None, query: str = "") -> Make:
    async def make(_world: World, _asker: Asker) -> Request:
        return Request(body=body, query=query)

    return make


def _named(make: Callable[[World], Awaitable[str]], body: Any = None, name: str = "id") -> Make:
    async def made(world: World, _asker: Asker) -> Request:
        return Request({name: await make(world)}, body)

    return made


async def _register(_world: World, _asker: Asker) -> Request:
    return Request(body={**EXAMPLES[user.REGISTER], "email": f"{new_id().hex}@example.com"})


async def _login(world: World, _asker: Asker) -> Request:
    return Request(body={"email": world.owner.email, "password": world.owner.password})


async def _refresh(world: World, _asker: Asker) -> Request:
    return Request(body={"refresh_token": (await register(world.http)).session["refresh_token"]})


async def _forgot(world: World, _asker: Asker) -> Request:
    return Request(body={"email": world.owner.email})


async def _reset(world: World, _asker: Asker) -> Request:
    email = (await register(world.http)).email
    await world.http.post("/auth/password/forgot", {"email": email})
    token = await world.mailed(email, Kind.RESET_PASSWORD)
    return Request(body={"token": token, "password": "another correct horse"})


async def _verify(world: World, _asker: Asker) -> Request:
    email = (await register(world.http)).email
    return Request(body={"token": await world.mailed(email, Kind.VERIFY_EMAIL)})


async def _change_password(world: World, asker: Asker) -> Request:
    who = world.by(asker) or world.owner
    return Request(body={"current_password": who.password, "new_password": who.password})


async def _start_totp(world: World, asker: Asker) -> Request:
    who = world.by(asker) or world.owner
    await world.without_totp(who)
    return Request(body={"password": who.password})


async def _confirm_totp(world: World, asker: Asker) -> Request:
    return Request(body={"code": await world.code_to_confirm(world.by(asker) or world.owner)})


async def _with_totp(world: World, asker: Asker) -> Request:
    return Request(body={"code": await world.code(world.by(asker) or world.owner)})


async def _disable_totp(world: World, asker: Asker) -> Request:
    who = world.by(asker) or world.owner
    return Request(body={"password": who.password, "code": await world.code(who)})


async def _leave(world: World, asker: Asker) -> Request:
    """By somebody who came for that alone."""
    one = await register(world.http)
    if asker is not Asker.ADMIN:
        return Request(sender=one.http)
    promoted = await world.boss.http.put(f"/users/{one.user['id']}", {"role": "admin"})
    assert promoted.status == 200, promoted.body
    answered = await world.http.post("/auth/login", {"email": one.email, "password": one.password})
    return Request(sender=world.http.as_(answered.json["access_token"]))


async def _erasure(world: World, _asker: Asker) -> Request:
    closed = await (await register(world.http)).http.delete("/users/profile")
    return Request({"id": closed.json["id"]})


async def _user(world: World) -> str:
    return str((await register(world.http)).user["id"])


async def _create_product(_world: World, _asker: Asker) -> Request:
    return Request(body=a_product())


async def _replace_product(world: World, _asker: Asker) -> Request:
    return Request({"id": await world.product()}, a_product())


async def _create_category(_world: World, _asker: Asker) -> Request:
    return Request(body={"name": f"Lamps {new_id().hex}"})


async def _image(world: World, _asker: Asker) -> Request:
    return Request({"image_id": await world.image(), "width": "160"})


async def _cart(world: World, _asker: Asker) -> Request:
    cart_id, _ = await world.cart()
    return Request({"id": cart_id})


async def _cart_line(world: World, _asker: Asker) -> Request:
    cart_id, sku = await world.cart()
    return Request({"id": cart_id, "sku": sku}, {"quantity": 2})


async def _cart_new_line(world: World, _asker: Asker) -> Request:
    cart_id, sku = await world.cart()
    return Request({"id": cart_id}, {"sku": sku, "quantity": 1})


async def _merge(world: World, _asker: Asker) -> Request:
    return Request(body={"cart_id": await world.guest_cart()})


def _place(**where: Any) -> dict[str, Any]:
    return {"shipping_address": ADDRESS, "payment_method": "sim_ok", "email": "ada@example.com", **where}


async def _place_items(world: World, _asker: Asker) -> Request:
    return Request(body=_place(items=[{"sku": await world.sku(), "quantity": 1}]))


async def _place_cart(world: World, _asker: Asker) -> Request:
    cart_id, _ = await world.cart()
    return Request(body=_place(cart_id=cart_id))


async def _place_to(world: World, _asker: Asker) -> Request:
    lines = [{"sku": await world.sku(), "quantity": 1}]
    return Request(body={"items": lines, "address_id": await world.address(), "email": "ada@example.com"})


async def _create_payment(world: World, _asker: Asker) -> Request:
    return Request(body={"order_id": await world.order(), "payment_method": "sim_ok"})


async def _payment(world: World, _asker: Asker) -> Request:
    return Request({"id": (await world.payment())["id"]}, {"amount": 1, "reason": "arrived late"})


async def _confirm(world: World, _asker: Asker) -> Request:
    waiting = await world.payment("sim_action", "requires_action")
    return Request({"id": waiting["id"]}, {"client_secret": waiting["client_secret"]})


REQUESTS: dict[AnyOperation, Make] = {
    user.REGISTER: _register,
    user.LOGIN: _login,
    user.REFRESH: _refresh,
    user.LOGOUT: _refresh,
    user.FORGOT_PASSWORD: _forgot,
    user.RESET_PASSWORD: _reset,
    user.VERIFY_EMAIL: _verify,
    user.REQUEST_VERIFICATION: _plain({}),
    user.PROFILE: _plain(),
    user.UPDATE_PROFILE: _plain(EXAMPLES[user.UPDATE_PROFILE]),
    user.CHANGE_PASSWORD: _change_password,
    user.START_TOTP: _start_totp,
    user.CONFIRM_TOTP: _confirm_totp,
    user.RENEW_RECOVERY_CODES: _with_totp,
    user.DISABLE_TOTP: _disable_totp,
    user.EXPORT: _plain(),
    user.ERASE: _leave,
    user.ERASURE: _erasure,
    user.LIST_SESSIONS: _plain(),
    user.END_SESSION: _named(World.session),
    user.LIST_ADDRESSES: _plain(),
    user.ADD_ADDRESS: _plain(ADDRESS),
    user.REPLACE_ADDRESS: _named(World.address, ADDRESS),
    user.REMOVE_ADDRESS: _named(World.address),
    user.LIST_USERS: _plain(query="?limit=1"),
    user.GET_USER: _named(_user),
    user.UPDATE_USER: _named(_user, {"first_name": "Augusta", "last_name": "King"}),
    user.BAN: _named(_user, {}),
    user.UNBAN: _named(_user, {}),
    user.REMOVE_TOTP: _named(_user),
    user.LIST_API_KEYS: _plain(query="?limit=1"),
    user.MAKE_API_KEY: _plain(EXAMPLES[user.MAKE_API_KEY]),
    user.REVOKE_API_KEY: _named(World.api_key),
    user.JWKS: _plain(),
    catalog.LIST_PRODUCTS: _plain(query="?limit=1"),
    catalog.SEARCH_PRODUCTS: _plain(query="?q=lamp&limit=1"),
    catalog.SUGGEST: _plain(query="?q=lamp"),
    catalog.GET_PRODUCT: _named(World.product, name="key"),
    catalog.CREATE_PRODUCT: _create_product,
    catalog.REPLACE_PRODUCT: _replace_product,
    catalog.CHANGE_PRODUCT: _named(World.product, {"name": "Brass lamp, large", "description": "Hand-chased."}),
    catalog.DEACTIVATE_PRODUCT: _named(World.product),
    catalog.ADD_IMAGE: _named(World.product),
    catalog.GET_IMAGE: _image,
    catalog.START_IMPORT: _plain(),
    catalog.GET_IMPORT: _named(World.import_job),
    catalog.LIST_CATEGORIES: _plain(query="?limit=1"),
    catalog.GET_CATEGORY: _named(World.category),
    catalog.CREATE_CATEGORY: _create_category,
    catalog.REPLACE_CATEGORY: _named(World.category, {"name": "Lamps and lanterns"}),
    catalog.DELETE_CATEGORY: _named(World.category),
    catalog.LIST_STOCK: _plain(query="?limit=1"),
    catalog.GET_STOCK: _named(World.sku, name="sku"),
    catalog.ADJUST_STOCK: _named(World.sku, {"delta": 5, "reason": "delivery"}, name="sku"),
    cart.CREATE: _plain({}),
    cart.GET: _cart,
    cart.CLEAR: _cart,
    cart.ADD: _cart_new_line,
    cart.SET: _cart_line,
    cart.REMOVE: _cart_line,
    cart.MERGE: _merge,
    order.PLACE: _place_items,
    order.LIST: _plain(query="?limit=100"),
    order.GET: _named(World.order),
    order.CANCEL: _named(World.order),
    order.PAY: _named(World.order, {"payment_method": "sim_ok"}),
    order.UPDATE: _named(World.order, {"shipping_address": ADDRESS}),
    payment.CREATE: _create_payment,
    payment.LIST: _plain(query="?limit=100"),
    payment.GET: _payment,
    payment.CONFIRM: _confirm,
    payment.REFUND: _payment,
    notification.LIST: _plain(query="?limit=100"),
    **{operation: _plain(query="?limit=1") for operation in TRAIL.values()},
}

NAMING: dict[tuple[AnyOperation, str], Make] = {
    (order.PLACE, "cart_id"): _place_cart,
    (order.PLACE, "address_id"): _place_to,
}
"""Where a request can name somebody's thing, but need not: those that do, by the field."""
