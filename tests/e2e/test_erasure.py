"""Somebody uses all of the shop, has everything erased, and is nowhere afterwards; the books are as they were."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
import pyotp

from contracts import headers
from contracts.catalog import Product
from contracts.order import OrderPaid
from contracts.registry import REDELIVER, SERVICES
from infra.foundation.ids import new_id
from infra.ops.devstack.mail_files import forget, mails
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import STORES
from services.user.domain import accounts as domain
from tests.support import data_scan as searching
from tests.support.data_scan import ScanTerms
from tests.support.eventually import eventually
from tests.support.http import HttpClient, HttpResponse
from tests.support.rpc import RpcCaller

Products = Callable[..., Awaitable[Product]]
Databases = Callable[[str], Awaitable[asyncpg.Connection]]
TOKEN = re.compile(r"^ {2}([A-Za-z0-9_-]{43})$", re.MULTILINE)
POSTGRES = [service for service, store in STORES.items() if store == "postgres"]


@dataclass
class Person:
    """Somebody whose every word is unique."""

    http: HttpClient
    mark: str = field(default_factory=lambda: new_id().hex[-12:])
    orders: list[str] = field(default_factory=list)
    id: str = ""
    password: str = "correct horse battery"
    secret: str = ""
    """Of the authenticator."""

    @property
    def email(self) -> str:
        return f"Zaphod.{self.mark}@Betelgeuse{self.mark}.Example.com"

    @property
    def name(self) -> dict[str, str]:
        return {"first_name": f"Zaphod{self.mark}", "last_name": f"Beeblebrox{self.mark}"}

    @property
    def phone(self) -> str:
        return f"+49 30 {int(self.mark, 16)}"

    @property
    def address(self) -> dict[str, str]:
        return {
            "name": " ".join(self.name.values()),
            "line1": f"{self.mark} Magrathea Street",
            "city": f"Damogran{self.mark}",
            "region": f"Arm{self.mark}",
            "postal_code": self.mark,
            "country": "DE",
            "phone": self.phone,
        }

    @property
    def words(self) -> list[str]:
        return [self.mark, self.email, self.phone, self.secret, *self.name.values()]

    async def does(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """As somebody who lets every request be repeated."""
        key = f"{self.mark}-{new_id().hex}" if method == "POST" else None
        answered = await self.http(method, path, body, key=key)
        assert answered.status == status, answered.body
        return answered.json if answered.body else None


async def token(stack: Stack, person: Person, subject: str) -> str:
    def found() -> list[str]:
        sent = [one for one in mails(stack.layout.mail, to=person.email) if subject in one.subject]
        return [said for one in sent for said in TOKEN.findall(one.text)]

    return str((await eventually(found))[-1])


async def opens_an_account(stack: Stack, http: HttpClient) -> Person:
    """Is verified, forgets the password, mistypes it, and saves an address or two."""
    one = Person(http)
    opened = await one.does(
        "POST", "/auth/register", {"email": one.email.upper(), "password": one.password, **one.name}, 201
    )
    one.id = opened["user"]["id"]
    await one.does("POST", "/auth/email/verify", {"token": await token(stack, one, "confirm")}, 204)
    await one.does("POST", "/auth/password/forgot", {"email": one.email}, 202)
    one.password = "another correct horse"
    reset = {"token": await token(stack, one, "new password"), "password": one.password}
    await one.does("POST", "/auth/password/reset", reset, 204)
    await one.does("POST", "/auth/login", {"email": one.email, "password": "wrong horse"}, 401)
    await one.does("POST", "/auth/register", {"email": one.email, "password": one.password, **one.name}, 409)
    session = await one.does("POST", "/auth/login", {"email": one.email.lower(), "password": one.password})
    one.http = http.with_token(session["access_token"])
    one.secret = (await one.does("POST", "/users/profile/totp", {"password": one.password}, 201))["secret"]
    await one.does("POST", "/users/profile/totp/confirm", {"code": pyotp.TOTP(one.secret).now()})
    await one.does("PUT", "/users/profile", one.name)
    saved = await one.does("POST", "/users/profile/addresses", one.address, 201)
    await one.does("PUT", f"/users/profile/addresses/{saved['id']}", one.address)
    gone = await one.does("POST", "/users/profile/addresses", one.address, 201)
    await one.does("DELETE", f"/users/profile/addresses/{gone['id']}", status=204)
    return one


async def order(one: Person, sku: str, status: str, **more: Any) -> str:
    body = {"items": [{"sku": sku, "quantity": 1}], "shipping_address": one.address, **more}
    placed = await one.does("POST", "/orders", body, 201)
    one.orders.append(placed["id"])

    async def reached() -> bool:
        return bool((await one.http.get(f"/orders/{placed['id']}")).json["status"] == status)

    await eventually(reached)
    return str(placed["id"])


async def buys(one: Person, sku: str, guest: HttpClient) -> None:
    """From a cart that took in another, as a guest, to be cancelled, and to an address that is saved."""
    await one.does("POST", "/carts", status=201)
    await one.does("POST", "/carts/mine/items", {"sku": sku, "quantity": 2})
    other = (await guest.post("/carts")).json["id"]
    await guest.post(f"/carts/{other}/items", {"sku": sku, "quantity": 1})
    await one.does("POST", "/carts/mine/merge", {"cart_id": other})
    await order(one, sku, "paid", payment_method="sim_ok")
    cancelled = await order(one, sku, "paid", payment_method="sim_ok")
    await one.does("POST", f"/orders/{cancelled}/cancel")
    await order(one, sku, "cancelled", payment_method="sim_declined")
    body = {"items": [{"sku": sku, "quantity": 1}], "shipping_address": one.address, "payment_method": "sim_ok"}
    placed = await guest.post("/orders", {**body, "email": one.email.lower()}, key=new_id().hex)
    assert placed.status == 201, placed.body
    one.orders.append(placed.json["id"])


async def is_served(one: Person, boss: HttpClient) -> None:
    """An administrator edits the account and an order, refunds in words, and sends the goods."""
    assert (await boss.put(f"/users/{one.id}", one.name)).status == 200
    assert (await boss.post(f"/users/{one.id}/unban", key=new_id().hex)).status == 200
    first = one.orders[0]
    assert (await boss.put(f"/orders/{first}", {"shipping_address": one.address})).status == 200
    payment = (await one.does("GET", f"/payments?order_id={first}"))["items"][0]
    refund = {"amount": 1, "reason": f"{one.email} called"}
    assert (await boss.post(f"/payments/{payment['id']}/refund", refund, key=new_id().hex)).status == 200
    shipped = {"status": "shipped", "tracking": {"carrier": "Heart of Gold", "number": "SK-20391"}}
    assert (await boss.put(f"/orders/{first}", shipped)).status == 200


async def is_told_all(one: Person, stack: Stack, mails_in_all: int) -> None:
    await eventually(lambda: len(mails(stack.layout.mail, to=one.email)) >= mails_in_all)


async def asked_to_be_forgotten(one: Person, stack: Stack) -> Any:
    """The receipt; who was sent mails empties the mailbox."""
    erasure = await one.does("DELETE", "/users/profile", status=202)
    assert (erasure["status"], erasure["services"]) == ("running", [])
    assert (await one.http.get("/users/profile")).status == 401

    async def done() -> Any:
        receipt = (await one.http.with_token(None).get(f"/users/erasures/{erasure['id']}")).json
        return receipt if receipt["status"] == "done" else None

    receipt = await eventually(done, timeout_seconds=30)
    assert forget(stack.layout.mail, to=one.email)
    return receipt


async def test_nothing_is_left_of_who_is_erased(
    stack: Stack,
    http: HttpClient,
    admin_http: HttpClient,
    operator: RpcCaller,
    database: Databases,
    mongo: Any,
    new_product: Products,
) -> None:
    sku = (await new_product(stock=100)).variants[0].sku
    one = await opens_an_account(stack, http)
    await buys(one, sku, http)
    await is_served(one, admin_http)
    notification = await database("notification")
    await notification.execute("UPDATE delivery SET reason = $1 WHERE user_id = $2", f"no {one.email}", one.id)
    await is_told_all(one, stack, mails_in_all=12)
    before = [(await admin_http.get(f"/orders/{order_id}")).json for order_id in one.orders]
    letter = await buried(operator, one)

    await holds_all(one)
    receipt = await asked_to_be_forgotten(one, stack)

    assert {done["service"] for done in receipt["services"]} == set(SERVICES)
    await books_are_as_they_were(before, admin_http, database)
    needles = ScanTerms([*one.words, email_digest(one, stack)])
    assert await traces(needles, stack, operator, database, mongo) == []
    await nobody_is_there(one, http, operator, before[0], notification)
    assert await traces(ScanTerms(one.words), stack, operator, database, mongo) == []
    await operator.client.jetstream().delete_msg("DEAD", letter)
    assert (await http.post("/auth/register", {"email": one.email, "password": one.password, **one.name})).status == 201


async def buried(operator: RpcCaller, one: Person) -> int:
    """An event about the person that nobody can read, among the dead letters; its number there."""
    js = operator.client.jetstream()
    about = {headers.EVENT_ID: str(new_id()), headers.EVENT_TYPE: "souk.user.reset_requested"}
    before = (await js.stream_info("DEAD")).state.last_seq
    await js.publish(f"event.user.{one.id}.reset_requested", b'{"user_id": 7}', headers=about)

    async def last() -> int:
        return int((await js.stream_info("DEAD")).state.last_seq)

    async def grown() -> bool:
        return await last() > before

    await eventually(grown)
    return await last()


async def holds_all(one: Person) -> None:
    """The export has what every service holds."""
    export = await one.does("GET", "/users/profile/export")
    assert export["user"]["email"].lower() == one.email.lower()
    assert [kept["phone"] for kept in export["addresses"]] == [one.phone]
    assert {kept["id"] for kept in export["orders"]} == set(one.orders)
    assert {kept["shipping_address"]["line1"] for kept in export["orders"]} == {one.address["line1"]}
    assert len(export["carts"]) == len(export["sessions"]) == 1
    assert [line["quantity"] for line in export["carts"][0]["lines"]] == [3]
    assert {kept["order_id"] for kept in export["payments"]} == set(one.orders[:-1])
    assert {"verify_email", "order_paid"} <= {kept["kind"] for kept in export["notifications"]}


async def books_are_as_they_were(before: list[Any], boss: HttpClient, database: Databases) -> None:
    """Orders tell what was sold for how much and to which country, and nothing else."""
    for order_before in before:
        now = (await boss.get(f"/orders/{order_before['id']}")).json
        kept = ("items", "total", "tax", "status", "payment_id", "user_id", "history")
        assert [now[name] for name in kept] == [order_before[name] for name in kept]
        erased = {"name": "erased", "line1": "erased", "city": "erased", "postal_code": "erased", "country": "DE"}
        assert {name: said for name, said in now["shipping_address"].items() if said is not None} == erased
    payment = await database("payment")
    assert not await payment.fetch("SELECT * FROM ledger_balance WHERE balance <> 0")
    assert not await payment.fetch("SELECT * FROM ledger_disagreement")


async def nobody_is_there(
    one: Person, http: HttpClient, operator: RpcCaller, order_before: Any, notification: asyncpg.Connection
) -> None:
    """Nobody signs in, and an event that comes late is told to nobody."""
    refused = await http.post("/auth/login", {"email": one.email, "password": one.password})
    assert (refused.status, refused.code) == (401, "invalid_credentials")
    await notification.execute("DELETE FROM delivery WHERE order_id = $1 AND kind = 'order_paid'", order_before["id"])
    paid = OrderPaid.model_validate_json(orjson.dumps({**order_before, **late(order_before)}), extra="ignore")
    event = {"id": new_id(), "type": OrderPaid.ce_type(), "data": paid.model_dump_json()}
    await operator(REDELIVER["notification"], orjson.loads(orjson.dumps(event)))
    question = "SELECT status FROM delivery WHERE order_id = $1 AND kind = 'order_paid'"

    async def suppressed() -> bool:
        return bool(await notification.fetchval(question, order_before["id"]) == "suppressed")

    await eventually(suppressed)


def late(order_before: Any) -> dict[str, Any]:
    return {"order_id": order_before["id"], "hold_id": str(new_id())}


def email_digest(one: Person, stack: Stack) -> str:
    """By which failed logins are counted: made with a key that only the service has."""
    secret = stack.vault.secret("user", "souk_keys_secret")
    pepper = hashlib.sha256(b"login\0" + secret.encode()).digest()
    return domain.throttle_key(one.email, "", pepper).account_digest.hex()


async def traces(needles: ScanTerms, stack: Stack, operator: RpcCaller, database: Databases, mongo: Any) -> list[str]:
    found = [
        f"{service} {hit}"
        for service in POSTGRES
        for hit in await searching.search_database(await database(service), needles)
    ]
    found += await searching.search_documents(mongo, needles)
    found += await searching.search_streams(operator.client, needles)
    return found + searching.search_files(stack, needles)


def test_the_search_finds_what_is_hidden() -> None:
    needles = ScanTerms(["Zaphod@example.com"])
    hidden = ("to: ZAPHOD@EXAMPLE.COM", b"zaphod@example.com".hex(), "c2F5IHphcGhvZEBleGFtcGxlLmNvbSE")
    assert all(map(needles.in_text, hidden))
    assert not needles.in_text("to: ford@example.com")


async def test_an_email_that_is_not_verified_erases_nobody_s_orders(
    stack: Stack, http: HttpClient, admin_http: HttpClient, new_product: Products
) -> None:
    """Whoever opens an account with another's e-mail can't have the orders erased that the other one placed."""
    sku = (await new_product(stock=10)).variants[0].sku
    one = Person(http)
    body = {"items": [{"sku": sku, "quantity": 1}], "shipping_address": one.address, "email": one.email}
    placed = await http.post("/orders", body)
    opened = await one.does("POST", "/auth/register", {"email": one.email, "password": one.password, **one.name}, 201)
    one.http = http.with_token(opened["access_token"])
    assert (await one.does("GET", "/users/profile/export"))["orders"] == []
    await is_told_all(one, stack, mails_in_all=2)
    await asked_to_be_forgotten(one, stack)
    kept = (await admin_http.get(f"/orders/{placed.json['id']}")).json
    assert kept["shipping_address"]["line1"] == one.address["line1"]


async def test_the_keys_of_an_administrator_end_with_the_account(admin_http: HttpClient) -> None:
    made = await admin_http.post("/api-keys", {"name": "a till", "scopes": ["order:read"]})
    machine = admin_http.with_token(made.json["key"])
    assert (await machine.get("/orders?limit=1")).status == 200
    assert [key["name"] for key in (await admin_http.get("/users/profile/export")).json["api_keys"]] == ["a till"]
    assert (await admin_http.delete("/users/profile")).status == 202
    assert (await machine.get("/orders?limit=1")).status == 401


async def test_a_receipt_is_for_who_knows_its_secret(http: HttpClient) -> None:
    answered: HttpResponse = await http.get(f"/users/erasures/{'A' * 43}")
    assert (answered.status, answered.code) == (404, "not_found")
