"""`souk demo`: one customer's whole journey, over HTTP, with what NATS says meanwhile and the mail at the end."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import asyncpg
import typer
from babel.numbers import format_currency
from nats.aio.msg import Msg
from rich.console import Console

from contracts.money import CURRENCY_EXPONENTS
from infra.messaging import connection as messaging
from infra.ops.cli.demo_output import Timeline
from infra.ops.cli.running_stack import Running
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.mail_files import Mail, mails
from infra.ops.devstack.secret_files import OPERATOR

PATIENCE = 20.0
_LEDGER = "SELECT currency, balance::bigint AS balance, entries FROM ledger_balance"
_DISAGREEMENTS = "SELECT count(*) FROM ledger_disagreement"


def demo(
    *,
    data: Annotated[Path | None, typer.Option(help="The data folder (SOUK_DATA; .souk).")] = None,
    product: Annotated[str, typer.Option(help="Slug or id of what to buy; the newest in stock without it.")] = "",
) -> None:
    """Buy something from the running shop and watch it happen."""
    asyncio.run(_demo(Running(data), product, Timeline(Console(highlight=False))))


async def _demo(running: Running, product: str, timeline: Timeline) -> None:
    async with (
        aiohttp.ClientSession() as session,
        messaging.connect(running.nats_url, OPERATOR, running.password(OPERATOR)) as client,
    ):

        async def heard(message: Msg) -> None:
            _, service, aggregate, name = message.subject.split(".")
            timeline.add("event", f"{service}.{name}", f"event.{service}.{aggregate}.{name}")

        timeline.title(f"A customer comes to {running.http_url}; ● is what NATS carries meanwhile")
        subscription = await client.subscribe("event.>", cb=heard)
        await client.flush()
        journey = Journey(Shop(session, running.http_url, timeline), timeline, running)
        bought = await journey.buy(product)
        await journey.show_mail(bought)
        await subscription.unsubscribe()
        await journey.check(bought)


@dataclass(frozen=True)
class Bought:
    """What the journey came to."""

    email: str
    order: dict[str, Any]
    sku: str
    available_before: int


class Shop:
    """The HTTP API, each call a line of the timeline."""

    def __init__(self, session: aiohttp.ClientSession, url: str, timeline: Timeline) -> None:
        self.session = session
        self.url = url
        self.timeline = timeline
        self.token = ""

    async def call(self, method: str, path: str, body: Any = None, *, key: str = "", quiet: bool = False) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if key:
            headers["Idempotency-Key"] = key
        begun = time.monotonic()
        async with self.session.request(method, f"{self.url}/api/v1{path}", json=body, headers=headers) as response:
            answer = await response.json(content_type=None)
        took = f"{response.status}, {(time.monotonic() - begun) * 1000:.0f} ms"
        if response.status >= HTTPStatus.BAD_REQUEST:
            self.timeline.add("fail", f"{method} {path}", took)
            raise StackError(f"The shop refused {method} {path}: {answer['detail']} ({answer['code']})")
        if not quiet:
            self.timeline.add("http", f"{method} {path}", took)
        return answer


class Journey:
    """Look, register, fill a cart, order, pay, read the mail."""

    def __init__(self, shop: Shop, timeline: Timeline, running: Running) -> None:
        self.shop = shop
        self.timeline = timeline
        self.running = running

    async def buy(self, wanted: str) -> Bought:
        product = await self._choose(wanted)
        variant = next(variant for variant in product["variants"] if variant["available"] > 0)
        self.timeline.quote(f"{product['name']}: {_money(variant['price'])}, {variant['available']} in stock")
        email = await self._register()
        cart = await self.shop.call("POST", "/carts")
        await self.shop.call("POST", f"/carts/{cart['id']}/items", {"sku": variant["sku"], "quantity": 1})
        order = await self._order()
        order = await self._until_paid(order["id"])
        return Bought(email, order, variant["sku"], variant["available"])

    async def _choose(self, wanted: str) -> dict[str, Any]:
        if wanted:
            product: dict[str, Any] = await self.shop.call("GET", f"/products/{wanted}")
            if not any(variant["available"] for variant in product["variants"]):
                raise StackError(f"{product['name']} is sold out.")
            return product
        found = await self.shop.call("GET", "/products?in_stock=true&sort=newest&limit=1")
        if not found["items"]:
            raise StackError("Nothing is in stock. Bring products in with `souk seed` or `souk import FILE`.")
        newest: dict[str, Any] = found["items"][0]
        return newest

    async def _register(self) -> str:
        email = f"shirin-{secrets.token_hex(4)}@example.com"
        body = {"email": email, "password": secrets.token_urlsafe(12), "first_name": "Shirin", "last_name": "Parviz"}
        session = await self.shop.call("POST", "/auth/register", body)
        self.shop.token = session["access_token"]
        return email

    async def _order(self) -> dict[str, Any]:
        address = {"name": "Shirin Parviz", "line1": "7 Lantern Row", "city": "Leeds", "postal_code": "LS1 4AP"}
        body = {"cart_id": "mine", "shipping_address": {**address, "country": "GB"}, "payment_method": "sim_ok"}
        order: dict[str, Any] = await self.shop.call("POST", "/orders", body, key=secrets.token_urlsafe(16))
        self.timeline.quote(f"order {order['number']} over {_money(order['total'])} is {order['status']}")
        return order

    async def _until_paid(self, order_id: str) -> dict[str, Any]:
        async def settled() -> dict[str, Any] | None:
            order: dict[str, Any] = await self.shop.call("GET", f"/orders/{order_id}", quiet=True)
            return order if order["status"] != "pending" else None

        order: dict[str, Any] = await _until(settled, f"The order {order_id} is still pending")
        self.timeline.add("http", f"GET /orders/{order_id}", f"{order['status']}")
        return order

    async def show_mail(self, bought: Bought) -> None:
        async def came() -> Mail | None:
            sent = mails(self.running.layout.mail, to=bought.email)
            found = [one for one in sent if "order" in one.subject.lower()]
            return next((one for one in found if "paid" in one.subject.lower() or len(found) > 1), None)

        mail = await _until(came, "No mail came")
        for one in mails(self.running.layout.mail, to=bought.email):
            self.timeline.add("mail", one.subject, f"to {one.to}")
        self.timeline.quote(mail.text)

    async def check(self, bought: Bought) -> None:
        """What has to be true afterwards. Raises a `StackError` when it is not."""
        self.timeline.title("Afterwards")
        paid = bought.order["status"] == "paid"
        self._say(paid, "the order is paid", f"it is {bought.order['status']}")
        left = await self._available(bought)
        self._say(left == bought.available_before - 1, f"one less in stock: {left}", "the stock is not one less")
        self._say(*await self._ledger())

    async def _available(self, bought: Bought) -> int:
        """The catalogue's own word for it, past every cache; the sale is booked a moment after the payment."""
        connection = await asyncpg.connect(self.running.dsn("catalog"))
        try:
            row = await connection.fetchrow("SELECT on_hand, reserved FROM stock WHERE sku = $1", bought.sku)
        finally:
            await connection.close()
        assert row is not None
        available: int = row["on_hand"] - row["reserved"]
        return available

    async def _ledger(self) -> tuple[bool, str, str]:
        connection = await asyncpg.connect(self.running.dsn("payment"))
        try:
            sums = await connection.fetch(_LEDGER)
            disagreements = await connection.fetchval(_DISAGREEMENTS)
        finally:
            await connection.close()
        balanced = all(row["balance"] == 0 for row in sums) and not disagreements
        told = ", ".join(f"{row['currency']} {row['balance']} over {row['entries']} entries" for row in sums)
        return balanced, f"the ledger balances: {told}", f"the ledger does not balance: {told}"

    def _say(self, true: bool, what: str, otherwise: str) -> None:  # noqa: FBT001 - the outcome of a check
        self.timeline.add("check" if true else "fail", what if true else otherwise)
        if not true:
            raise StackError(f"The journey did not end as it should: {otherwise}.")


async def _until(check: Callable[[], Awaitable[Any]], otherwise: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := await check():
            return found
        await asyncio.sleep(0.05)
    raise StackError(f"{otherwise} after {PATIENCE:.0f} s; `souk logs` tells more.")


def _money(money: dict[str, Any]) -> str:
    amount = money["amount"] / 10 ** CURRENCY_EXPONENTS[money["currency"]]
    return str(format_currency(amount, money["currency"], locale="en_US"))
