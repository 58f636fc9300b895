"""A customer uses every part of the shop and deletes the account: no personal data is left, the books are unchanged."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import orjson

from contracts import headers
from contracts.catalog import Product
from contracts.order import OrderPaid
from contracts.registry import REDELIVER, SERVICES
from infra.foundation.ids import new_id
from infra.ops.devstack.mail_files import delete_mails
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import SERVICE_STORES
from services.user.domain.attempt_limits import throttle_key
from tests.conftest import ADMIN_PASSWORD
from tests.e2e.traceable_customer import (
    Person,
    handle_as_admin,
    open_account,
    review_product,
    use_cart_and_orders,
    wait_for_mails,
)
from tests.support import data_scan
from tests.support.data_scan import ScanTerms
from tests.support.eventually import eventually
from tests.support.http import HttpClient, HttpResponse
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
Databases = Callable[[str], Awaitable[asyncpg.Connection]]
INVOICES = "public.invoice: "
POSTGRES = [service for service, store in SERVICE_STORES.items() if store == "postgres"]


async def delete_account(person: Person, stack: Stack) -> Any:
    """Deletes the account and the received mails, and returns the receipt of the finished erasure."""
    consent: dict[str, str] = {"password": person.password}
    if person.recovery_code:
        consent["code"] = person.recovery_code
    erasure = await person.send("DELETE", "/users/profile", consent, status=202)
    assert (erasure["status"], erasure["services"]) == ("running", [])
    assert (await person.http.get("/users/profile")).status == 401

    async def done() -> Any:
        receipt = (await person.http.with_token(None).get(f"/users/erasures/{erasure['id']}")).json
        return receipt if receipt["status"] == "done" else None

    receipt = await eventually(done, timeout_seconds=30)
    assert delete_mails(stack.data_dir.mail_dir, to=person.email)
    return receipt


async def test_erasure_leaves_no_personal_data_anywhere(
    stack: Stack,
    http: HttpClient,
    admin_http: HttpClient,
    operator: RpcCaller,
    database: Databases,
    mongo: Any,
    new_product: NewProduct,
) -> None:
    sku = (await new_product(stock=100)).variants[0].sku
    person = await open_account(stack, http)
    await use_cart_and_orders(person, sku, http)
    await review_product(person, admin_http)
    await handle_as_admin(person, admin_http)
    notification = await database("notification")
    await notification.execute("UPDATE delivery SET reason = $1 WHERE user_id = $2", f"no {person.email}", person.id)
    await wait_for_mails(person, stack, count=12)
    before = [(await admin_http.get(f"/orders/{order_id}")).json for order_id in person.orders]
    dead_letter = await plant_dead_letter(operator, person)

    await assert_export_is_complete(person)
    receipt = await delete_account(person, stack)

    assert {done["service"] for done in receipt["services"]} == set(SERVICES)
    await assert_books_unchanged(before, admin_http, database)
    terms = ScanTerms([*person.words, email_digest(person, stack)])
    assert await find_traces(terms, stack, operator, database, mongo) == []
    retained = await data_scan.search_database(await database("order"), ScanTerms([person.email, person.phone]))
    assert retained == [], "an invoice names the buyer and the address, and no way to reach them"
    await assert_account_is_gone(person, http, operator, before[0], notification)
    assert await find_traces(ScanTerms(person.words), stack, operator, database, mongo) == []
    await operator.client.jetstream().delete_msg("DEAD", dead_letter)
    assert (
        await http.post("/auth/register", {"email": person.email, "password": person.password, **person.name})
    ).status == 201


async def plant_dead_letter(operator: RpcCaller, person: Person) -> int:
    """Publishes an invalid event about the person, and returns its sequence number among the dead letters."""
    js = operator.client.jetstream()
    event_headers = {headers.EVENT_ID: str(new_id()), headers.EVENT_TYPE: "souk.user.reset_requested"}
    before = (await js.stream_info("DEAD")).state.last_seq
    await js.publish(f"event.user.{person.id}.reset_requested", b'{"user_id": 7}', headers=event_headers)

    async def last_sequence() -> int:
        return int((await js.stream_info("DEAD")).state.last_seq)

    async def has_grown() -> bool:
        return await last_sequence() > before

    await eventually(has_grown)
    return await last_sequence()


async def assert_export_is_complete(person: Person) -> None:
    """The export has the data of every service."""
    export = await person.send("GET", "/users/profile/export")
    assert export["user"]["email"].lower() == person.email.lower()
    assert [item["phone"] for item in export["addresses"]] == [person.phone]
    assert {item["id"] for item in export["orders"]} == set(person.orders)
    assert {item["shipping_address"]["line1"] for item in export["orders"]} == {person.address["line1"]}
    assert len(export["carts"]) == len(export["sessions"]) == 1
    assert [line["quantity"] for line in export["carts"][0]["lines"]] == [3]
    assert {item["order_id"] for item in export["payments"]} == set(person.orders[:-1])
    assert {item["order_id"] for item in export["invoices"]} <= set(person.orders)
    assert {item["kind"] for item in export["invoices"]} >= {"invoice"}
    assert [(item["title"], item["answer"]) for item in export["reviews"]] == [(person.mark, f"Dear {person.mark}!")]
    assert {"verify_email", "order_paid"} <= {item["kind"] for item in export["notifications"]}


async def assert_books_unchanged(before: list[Any], admin_http: HttpClient, database: Databases) -> None:
    """Orders keep their items, amounts and country, and lose every other personal field."""
    for order_before in before:
        now = (await admin_http.get(f"/orders/{order_before['id']}")).json
        names = ("items", "total", "tax", "status", "payment_id", "user_id", "history")
        assert [now[name] for name in names] == [order_before[name] for name in names]
        erased = {"name": "erased", "line1": "erased", "city": "erased", "postal_code": "erased", "country": "DE"}
        assert {name: value for name, value in now["shipping_address"].items() if value is not None} == erased
    payment = await database("payment")
    assert not await payment.fetch("SELECT * FROM ledger_balance WHERE balance <> 0")
    assert not await payment.fetch("SELECT * FROM ledger_disagreement")


async def assert_account_is_gone(
    person: Person, http: HttpClient, operator: RpcCaller, order_before: Any, notification: asyncpg.Connection
) -> None:
    """A login fails, and a late event sends no mail."""
    refused = await http.post("/auth/login", {"email": person.email, "password": person.password})
    assert (refused.status, refused.code) == (401, "invalid_credentials")
    await notification.execute("DELETE FROM delivery WHERE order_id = $1 AND kind = 'order_paid'", order_before["id"])
    paid = OrderPaid.model_validate_json(
        orjson.dumps({**order_before, **replayed_fields(order_before)}), extra="ignore"
    )
    event = {"id": new_id(), "type": OrderPaid.ce_type(), "data": paid.model_dump_json()}
    await operator(REDELIVER["notification"], orjson.loads(orjson.dumps(event)))
    query = "SELECT status FROM delivery WHERE order_id = $1 AND kind = 'order_paid'"

    async def suppressed() -> bool:
        return bool(await notification.fetchval(query, order_before["id"]) == "suppressed")

    await eventually(suppressed)


def replayed_fields(order_before: Any) -> dict[str, Any]:
    return {"order_id": order_before["id"], "hold_id": str(new_id())}


def email_digest(person: Person, stack: Stack) -> str:
    """The digest that failed logins are counted by, made with a secret of the user service."""
    secret = stack.secrets.get_or_create("user", "souk_keys_secret")
    pepper = hashlib.sha256(b"login\0" + secret.encode()).digest()
    return throttle_key(person.email, "", pepper).account_digest.hex()


async def find_traces(
    terms: ScanTerms, stack: Stack, operator: RpcCaller, database: Databases, mongo: Any
) -> list[str]:
    """Where the terms are found, other than in the invoices, which the law has a shop keep."""
    found = [
        f"{service} {hit}"
        for service in POSTGRES
        for hit in await data_scan.search_database(await database(service), terms)
        if not hit.startswith(INVOICES)
    ]
    found += await data_scan.search_documents(mongo, terms)
    found += await data_scan.search_streams(operator.client, terms)
    return found + data_scan.search_files(stack, terms)


def test_the_scan_finds_encoded_words() -> None:
    terms = ScanTerms(["Zaphod@example.com"])
    hidden = ("to: ZAPHOD@EXAMPLE.COM", b"zaphod@example.com".hex(), "c2F5IHphcGhvZEBleGFtcGxlLmNvbSE")
    assert all(map(terms.in_text, hidden))
    assert not terms.in_text("to: ford@example.com")


async def test_an_unverified_email_erases_no_guest_orders(
    stack: Stack, http: HttpClient, admin_http: HttpClient, new_product: NewProduct
) -> None:
    """A person who registers with another person's e-mail cannot have that person's guest orders erased."""
    sku = (await new_product(stock=10)).variants[0].sku
    person = Person(http)
    body = {"items": [{"sku": sku, "quantity": 1}], "shipping_address": person.address, "email": person.email}
    placed = await http.post("/orders", body)
    registered = await person.send(
        "POST", "/auth/register", {"email": person.email, "password": person.password, **person.name}, 201
    )
    person.http = http.with_token(registered["access_token"])
    assert (await person.send("GET", "/users/profile/export"))["orders"] == []
    await wait_for_mails(person, stack, count=2)
    await delete_account(person, stack)
    stored = (await admin_http.get(f"/orders/{placed.json['id']}")).json
    assert stored["shipping_address"]["line1"] == person.address["line1"]


async def test_api_keys_are_revoked_with_the_account(admin_http: HttpClient) -> None:
    created = await admin_http.post("/api-keys", {"name": "a till", "scopes": ["order:read"]})
    machine = admin_http.with_token(created.json["key"])
    assert (await machine.get("/orders?limit=1")).status == 200
    assert [key["name"] for key in (await admin_http.get("/users/profile/export")).json["api_keys"]] == ["a till"]
    assert (await admin_http.delete("/users/profile", json={"password": ADMIN_PASSWORD})).status == 202
    assert (await machine.get("/orders?limit=1")).status == 401


async def test_an_erasure_is_found_only_by_its_secret(http: HttpClient) -> None:
    response: HttpResponse = await http.get(f"/users/erasures/{'A' * 43}")
    assert (response.status, response.code) == (404, "not_found")
