"""`souk demo`: one customer's purchase over HTTP, with the events on NATS as they happen and the mail at the end."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

import aiohttp
import asyncpg
import typer
from babel.numbers import format_currency
from nats.aio.msg import Msg
from rich.console import Console

from contracts.money import CURRENCY_EXPONENTS
from infra.messaging import connection
from infra.ops.cli.demo_output import Timeline
from infra.ops.cli.options import DataOption
from infra.ops.cli.running_stack import RunningStack
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.mail_files import ReceivedMail, list_mails
from infra.ops.devstack.secret_files import OPERATOR

WAIT_TIMEOUT_SECONDS = 20.0
_LEDGER = "SELECT currency, balance::bigint AS balance, entries FROM ledger_balance"
_DISAGREEMENTS = "SELECT count(*) FROM ledger_disagreement"


def demo(
    *,
    data: DataOption = None,
    product: Annotated[
        str, typer.Option(metavar="SLUG", help="Slug or id of the product (default: the newest in stock).")
    ] = "",
) -> None:
    """Buy something from the running shop: show each request, event and mail, then check stock and ledger.

    Example: souk demo --product moth-lantern
    """
    asyncio.run(_demo(RunningStack(data), product, Timeline(Console(highlight=False))))


async def _demo(running: RunningStack, product: str, timeline: Timeline) -> None:
    async with (
        aiohttp.ClientSession() as session,
        connection.connect(running.nats_url, OPERATOR, running.nats_password(OPERATOR)) as client,
    ):

        async def print_event(message: Msg) -> None:
            _, service, aggregate, name = message.subject.split(".")
            timeline.add("event", f"{service}.{name}", f"event.{service}.{aggregate}.{name}")

        timeline.title(f"A customer buys at {running.http_url}. → is an HTTP request, ● an event on NATS.")
        subscription = await client.subscribe("event.>", cb=print_event)
        await client.flush()
        journey = CustomerJourney(DemoClient(session, running.http_url, timeline), timeline, running)
        purchase = await journey.buy(product)
        await journey.print_mail(purchase)
        await subscription.unsubscribe()
        await journey.check_stores(purchase)


@dataclass(frozen=True)
class Purchase:
    """The result of the journey."""

    email: str
    order: dict[str, Any]
    sku: str
    available_before: int


class DemoClient:
    """The HTTP API. Each request becomes a line of the timeline."""

    def __init__(self, session: aiohttp.ClientSession, url: str, timeline: Timeline) -> None:
        self.session = session
        self.url = url
        self.timeline = timeline
        self.token = ""

    async def request(
        self, method: str, path: str, body: Any = None, *, idempotency_key: str = "", hidden: bool = False
    ) -> Any:
        """Sends a request and returns its JSON. `hidden` requests are not shown unless they fail."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        started = time.monotonic()
        async with self.session.request(method, f"{self.url}/api/v1{path}", json=body, headers=headers) as response:
            reply = await response.json(content_type=None)
        took = f"{response.status}, {(time.monotonic() - started) * 1000:.0f} ms"
        if response.status >= HTTPStatus.BAD_REQUEST:
            self.timeline.add("fail", f"{method} {path}", took)
            raise StackError(f"The shop refused {method} {path}: {reply['detail']} ({reply['code']})")
        if not hidden:
            self.timeline.add("http", f"{method} {path}", took)
        return reply


class CustomerJourney:
    """Chooses a product, registers, fills a cart, orders, pays and reads the mail."""

    def __init__(self, shop: DemoClient, timeline: Timeline, running: RunningStack) -> None:
        self.shop = shop
        self.timeline = timeline
        self.running = running

    async def buy(self, wanted: str) -> Purchase:
        """Buys one product and waits until the order is paid."""
        product = await self._choose(wanted)
        variant = next(variant for variant in product["variants"] if variant["available"] > 0)
        self.timeline.quote(f"{product['name']}: {_format_money(variant['price'])}, {variant['available']} in stock")
        email = await self._register()
        cart = await self.shop.request("POST", "/carts")
        await self.shop.request("POST", f"/carts/{cart['id']}/items", {"sku": variant["sku"], "quantity": 1})
        order = await self._order()
        order = await self._wait_until_paid(order["id"])
        return Purchase(email, order, variant["sku"], variant["available"])

    async def _choose(self, wanted: str) -> dict[str, Any]:
        if wanted:
            product: dict[str, Any] = await self.shop.request("GET", f"/products/{wanted}")
            if not any(variant["available"] for variant in product["variants"]):
                raise StackError(f"{product['name']} is sold out.")
            return product
        found = await self.shop.request("GET", "/products?in_stock=true&sort=newest&limit=1")
        if not found["items"]:
            raise StackError(
                "Nothing is in stock. While `souk up` starts, it loads the demo catalog: wait until it is ready. "
                "Otherwise load products with `souk seed` or `souk import FILE`."
            )
        newest: dict[str, Any] = found["items"][0]
        return newest

    async def _register(self) -> str:
        email = f"shirin-{secrets.token_hex(4)}@example.com"
        body = {"email": email, "password": secrets.token_urlsafe(12), "first_name": "Shirin", "last_name": "Parviz"}
        session = await self.shop.request("POST", "/auth/register", body)
        self.shop.token = session["access_token"]
        return email

    async def _order(self) -> dict[str, Any]:
        address = {"name": "Shirin Parviz", "line1": "7 Lantern Row", "city": "Leeds", "postal_code": "LS1 4AP"}
        body = {"cart_id": "mine", "shipping_address": {**address, "country": "GB"}, "payment_method": "sim_ok"}
        order: dict[str, Any] = await self.shop.request(
            "POST", "/orders", body, idempotency_key=secrets.token_urlsafe(16)
        )
        self.timeline.quote(f"order {order['number']} for {_format_money(order['total'])} is {order['status']}")
        return order

    async def _wait_until_paid(self, order_id: str) -> dict[str, Any]:
        async def find_result() -> dict[str, Any] | None:
            order: dict[str, Any] = await self.shop.request("GET", f"/orders/{order_id}", hidden=True)
            return order if order["status"] != "pending" else None

        order: dict[str, Any] = await _wait_for(find_result, f"The order {order_id} is still pending")
        self.timeline.add("http", f"GET /orders/{order_id}", f"{order['status']}")
        return order

    async def print_mail(self, purchase: Purchase) -> None:
        """Waits for the mail about the order and prints it."""

        async def find_mail() -> ReceivedMail | None:
            sent = list_mails(self.running.data_dir.mail_dir, to=purchase.email)
            found = [one for one in sent if "order" in one.subject.lower()]
            return found[-1] if len(found) > 1 else None  # one says that it was placed, one that it is paid

        mail = await _wait_for(find_mail, "No mail about the order arrived")
        for one in list_mails(self.running.data_dir.mail_dir, to=purchase.email):
            self.timeline.add("mail", one.subject, f"to {one.to}")
        self.timeline.quote(mail.text)

    async def check_stores(self, purchase: Purchase) -> None:
        """Checks order, stock and ledger. Raises a `StackError` when one of them is wrong."""
        self.timeline.title("Afterwards")
        paid = purchase.order["status"] == "paid"
        self._report_check(paid, "the order is paid", f"the order is {purchase.order['status']} instead of paid")
        left = await self._available(purchase)
        if left is not None:
            self._report_check(
                left == purchase.available_before - 1,
                f"the stock went down by one, to {left}",
                f"the stock is {left} instead of {purchase.available_before - 1}",
            )
        self._report_check(*await self._ledger())

    async def _available(self, purchase: Purchase) -> int | None:
        """Reads the stock from the catalog's database, past every cache. The sale is booked right after the payment.

        None for a SKU that can also be ordered when no unit is left.
        """
        database = await asyncpg.connect(self.running.dsn("catalog"))
        try:
            available: int | None = await database.fetchval(
                "SELECT on_hand - reserved FROM stock WHERE sku = $1 AND is_tracked AND NOT backorder", purchase.sku
            )
        finally:
            await database.close()
        return available

    async def _ledger(self) -> tuple[bool, str, str]:
        database = await asyncpg.connect(self.running.dsn("payment"))
        try:
            sums = await database.fetch(_LEDGER)
            disagreements = await database.fetchval(_DISAGREEMENTS)
        finally:
            await database.close()
        balanced = all(row["balance"] == 0 for row in sums) and not disagreements
        totals = ", ".join(f"{row['currency']} {row['balance']} over {row['entries']} entries" for row in sums)
        return balanced, f"the ledger balances: {totals}", f"the ledger does not balance: {totals}"

    def _report_check(self, passed: bool, success: str, failure: str) -> None:  # noqa: FBT001 - the result of a check
        self.timeline.add("check" if passed else "fail", success if passed else failure)
        if not passed:
            raise StackError(f"The demo failed: {failure}. Look at `souk logs --level warning`.")


async def _wait_for(check: Callable[[], Awaitable[Any]], failure: str) -> Any:
    deadline = time.monotonic() + WAIT_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if found := await check():
            return found
        await asyncio.sleep(0.05)
    raise StackError(f"{failure} after {WAIT_TIMEOUT_SECONDS:.0f} s. Look at `souk logs --level warning`.")


def _format_money(money: dict[str, Any]) -> str:
    amount = money["amount"] / 10 ** CURRENCY_EXPONENTS[money["currency"]]
    return str(format_currency(amount, money["currency"], locale="en_US"))
