"""Whole orders through Nginx: every store, every service, every event, and the mails."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from contracts import catalog, headers
from contracts.catalog import Product, StockLevel
from contracts.identity import Identity
from infra.foundation.ids import new_id
from infra.ops.devstack.mail_files import ReceivedMail
from infra.ops.devstack.stack import Stack
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, HttpClient, HttpResponse, RegisteredCustomer, register_customer
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
Databases = Callable[[str], Awaitable[asyncpg.Connection]]


def sku_of(product: Product) -> str:
    return product.variants[0].sku


async def place_order(
    http: HttpClient, product: Product, *, quantity: int = 1, key: str | None = None, **fields: Any
) -> HttpResponse:
    body = {
        "items": [{"sku": sku_of(product), "quantity": quantity}],
        "shipping_address": ADDRESS,
        "payment_method": "sim_ok",
        **fields,
    }
    return await http.post("/orders", body, key=key)


async def wait_for_status(http: HttpClient, order_id: str, status: str) -> dict[str, Any]:
    """The order, once it has that status."""

    async def reached() -> dict[str, Any] | None:
        order: dict[str, Any] = (await http.get(f"/orders/{order_id}")).json
        return order if order["status"] == status else None

    order = await eventually(reached)
    assert order is not None
    return order


async def read_stock(rpc: RpcCaller, admin: Identity, product: Product) -> StockLevel:
    level: StockLevel = await rpc(catalog.GET_STOCK, {"sku": sku_of(product)}, identity=admin)
    return level


async def wait_for_stock(rpc: RpcCaller, admin: Identity, product: Product, *, on_hand: int, reserved: int = 0) -> None:
    async def is_reached() -> bool:
        level = await read_stock(rpc, admin, product)
        return (level.on_hand, level.reserved) == (on_hand, reserved)

    await eventually(is_reached)


async def assert_ledger_balances(database: Databases) -> None:
    connection = await database("payment")
    assert not await connection.fetch("SELECT * FROM ledger_balance WHERE balance <> 0")

    async def agrees_with_payments() -> bool:
        return not await connection.fetch("SELECT * FROM ledger_disagreement")

    await eventually(agrees_with_payments)


async def test_an_order_from_the_cart_to_the_mail(
    customer: RegisteredCustomer,
    new_product: NewProduct,
    rpc: RpcCaller,
    admin: Identity,
    events: EventRecorder,
    mails: Callable[[str], list[ReceivedMail]],
    database: Databases,
) -> None:
    product = await new_product(stock=5, price=2500)
    cart = (await customer.http.post("/carts")).json
    added = await customer.http.post(f"/carts/{cart['id']}/items", {"sku": sku_of(product), "quantity": 2})
    assert added.json["total"] == {"amount": 5000, "currency": "USD"}
    body = {"cart_id": "mine", "shipping_address": ADDRESS, "payment_method": "sim_ok"}
    placed = await customer.http.post("/orders", body)
    assert placed.status == 201, placed.body
    assert placed.json["status"] == "pending"
    order = await wait_for_status(customer.http, placed.json["id"], "paid")
    assert order["total"] == {"amount": 5000, "currency": "USD"}
    assert [entry["status"] for entry in order["history"]] == ["pending", "paid"]
    await wait_for_stock(rpc, admin, product, on_hand=3)

    paid = await events.wait_for(order["id"], "paid")
    assert paid.headers[headers.EVENT_TYPE] == "souk.order.paid"
    assert events.event_names(order["id"])[:2] == ["placed", "paid"]
    payment = (await customer.http.get(f"/payments/{order['payment_id']}")).json
    assert (payment["status"], payment["amount"]["amount"]) == ("captured", 5000)
    await assert_ledger_balances(database)

    received = await eventually(lambda: len(found := mails(customer.email)) >= 2 and found)
    assert all(order["number"] in mail.text and order["number"] in mail.html for mail in received)

    async def emptied() -> bool:
        return (await customer.http.get("/carts/mine")).json["items"] == []

    await eventually(emptied)


async def test_an_order_without_enough_stock_holds_nothing(
    customer: RegisteredCustomer, new_product: NewProduct, rpc: RpcCaller, admin: Identity
) -> None:
    plenty, scarce = await new_product(stock=10), await new_product(stock=1)
    items = [{"sku": sku_of(plenty), "quantity": 1}, {"sku": sku_of(scarce), "quantity": 2}]
    refused = await place_order(customer.http, plenty, items=items)
    assert (refused.status, refused.code) == (409, "out_of_stock")
    assert [error["pointer"] for error in refused.json["errors"]] == ["/items/1"]
    assert "1" in refused.json["errors"][0]["detail"]
    assert (await read_stock(rpc, admin, plenty)).reserved == 0
    assert (await read_stock(rpc, admin, scarce)).reserved == 0


async def test_a_declined_payment_cancels_and_returns_the_stock(
    customer: RegisteredCustomer,
    new_product: NewProduct,
    rpc: RpcCaller,
    admin: Identity,
    mails: Callable[[str], list[ReceivedMail]],
) -> None:
    product = await new_product(stock=3)
    placed = await place_order(customer.http, product, payment_method="sim_declined")
    assert placed.status == 201
    order = await wait_for_status(customer.http, placed.json["id"], "cancelled")
    await wait_for_stock(rpc, admin, product, on_hand=3)
    payments = (await customer.http.get(f"/payments?order_id={order['id']}")).json["items"]
    assert [(payment["status"], payment["failure_code"]) for payment in payments] == [("failed", "card_declined")]
    await eventually(lambda: any("cancel" in mail.subject.lower() for mail in mails(customer.email)))


async def test_a_cart_is_ordered_again_after_a_declined_payment(
    customer: RegisteredCustomer, new_product: NewProduct, rpc: RpcCaller, admin: Identity
) -> None:
    """The last units, without another look at the cart."""
    product = await new_product(stock=2)
    await customer.http.post("/carts")
    await customer.http.post("/carts/mine/items", {"sku": sku_of(product), "quantity": 2})
    body = {"cart_id": "mine", "shipping_address": ADDRESS}
    declined = await customer.http.post("/orders", {**body, "payment_method": "sim_declined"})
    await wait_for_status(customer.http, declined.json["id"], "cancelled")
    assert [item["quantity"] for item in (await customer.http.get("/carts/mine")).json["items"]] == [2]

    again = await customer.http.post("/orders", {**body, "payment_method": "sim_ok"})

    assert (again.status, again.json["items"]) == (201, declined.json["items"])
    await wait_for_status(customer.http, again.json["id"], "paid")
    assert (await customer.http.get(f"/orders/{declined.json['id']}")).json["status"] == "cancelled"

    async def emptied() -> bool:
        return (await customer.http.get("/carts/mine")).json["items"] == []

    await eventually(emptied)
    await wait_for_stock(rpc, admin, product, on_hand=0)


async def test_a_hundred_orders_for_the_last_ten(
    http: HttpClient, new_product: NewProduct, rpc: RpcCaller, admin: Identity, database: Databases
) -> None:
    product = await new_product(stock=10)
    customers = [await register_customer(http) for _ in range(10)]
    answers = await asyncio.gather(*(place_order(customers[n % 10].http, product) for n in range(100)))
    assert Counter(answer.status for answer in answers) == {201: 10, 409: 90}
    assert {answer.code for answer in answers if answer.status == 409} == {"out_of_stock"}
    for number, answer in enumerate(answers):
        if answer.status == 201:
            await wait_for_status(customers[number % 10].http, answer.json["id"], "paid")
    await wait_for_stock(rpc, admin, product, on_hand=0)
    await assert_ledger_balances(database)


async def test_twenty_concurrent_orders_with_one_idempotency_key_are_one(
    customer: RegisteredCustomer, new_product: NewProduct, rpc: RpcCaller, admin: Identity
) -> None:
    product, key = await new_product(stock=50), new_id().hex
    answers = await asyncio.gather(*(place_order(customer.http, product, key=key) for _ in range(20)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    order = await wait_for_status(customer.http, answers[0].json["id"], "paid")
    payments = (await customer.http.get(f"/payments?order_id={order['id']}")).json["items"]
    assert [payment["status"] for payment in payments] == ["captured"]
    assert len((await customer.http.get("/orders")).json["items"]) == 1
    await wait_for_stock(rpc, admin, product, on_hand=49)
    other = await place_order(customer.http, product, key=key, quantity=2)
    assert (other.status, other.code) == (422, "idempotency_key_reused")


async def test_the_same_cart_is_ordered_once_without_a_key(
    customer: RegisteredCustomer, new_product: NewProduct
) -> None:
    product = await new_product(stock=50)
    await customer.http.post("/carts")
    await customer.http.post("/carts/mine/items", {"sku": sku_of(product), "quantity": 1})
    body = {"cart_id": "mine", "shipping_address": ADDRESS}
    answers = await asyncio.gather(*(customer.http.post("/orders", body) for _ in range(10)))
    assert {answer.status for answer in answers} <= {201, 409}
    assert len({answer.json["id"] for answer in answers if answer.status == 201}) == 1


async def test_cancelling_a_paid_order_returns_stock_and_money(
    customer: RegisteredCustomer, new_product: NewProduct, rpc: RpcCaller, admin: Identity, database: Databases
) -> None:
    product = await new_product(stock=4)
    placed = await place_order(customer.http, product)
    order = await wait_for_status(customer.http, placed.json["id"], "paid")
    cancelled = await customer.http.post(f"/orders/{order['id']}/cancel")
    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    await wait_for_stock(rpc, admin, product, on_hand=4)

    async def refunded() -> bool:
        return (await customer.http.get(f"/payments/{order['payment_id']}")).json["status"] == "refunded"

    await eventually(refunded)
    await assert_ledger_balances(database)
    again = await customer.http.post(f"/orders/{order['id']}/cancel")
    assert (again.status, again.code) == (409, "illegal_transition")


async def test_an_order_is_shipped_and_delivered(
    customer: RegisteredCustomer,
    admin_http: HttpClient,
    new_product: NewProduct,
    mails: Callable[[str], list[ReceivedMail]],
) -> None:
    placed = await place_order(customer.http, await new_product())
    order = await wait_for_status(customer.http, placed.json["id"], "paid")
    path = f"/orders/{order['id']}"
    tracking = {"carrier": "Camel Express", "number": "4111 1111 1111 1111"}
    assert (await customer.http.put(path, {"status": "delivered"})).status == 403
    shipped = await admin_http.put(path, {"status": "shipped", "tracking": tracking})
    assert (shipped.status, shipped.json["tracking"]) == (200, tracking)
    assert (await admin_http.put(path, {"status": "delivered"})).json["status"] == "delivered"
    assert (await admin_http.put(path, {"status": "delivered"})).code == "illegal_transition"
    await eventually(lambda: any("on its way" in mail.subject for mail in mails(customer.email)))


async def test_a_guest_orders(
    http: HttpClient, new_product: NewProduct, mails: Callable[[str], list[ReceivedMail]]
) -> None:
    product, email = await new_product(), f"{new_id().hex}@example.com"
    cart = (await http.post("/carts")).json
    await http.post(f"/carts/{cart['id']}/items", {"sku": sku_of(product), "quantity": 1})
    body = {"cart_id": cart["id"], "shipping_address": ADDRESS, "payment_method": "sim_ok", "email": email}
    assert (await http.post("/orders", body)).status == 201
    await eventually(lambda: len(mails(email)) >= 2)


async def test_one_trace_reaches_every_service_and_mail(
    customer: RegisteredCustomer, new_product: NewProduct, stack: Stack, mails: Callable[[str], list[ReceivedMail]]
) -> None:
    product, trace_id = await new_product(), new_id().hex
    body = {
        "items": [{"sku": sku_of(product), "quantity": 1}],
        "shipping_address": ADDRESS,
        "payment_method": "sim_ok",
    }
    trace_headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    placed = await customer.http.post("/orders", body, headers=trace_headers)
    await wait_for_status(customer.http, placed.json["id"], "paid")
    received = await eventually(lambda: len(found := mails(customer.email)) >= 2 and found)
    assert all(trace_id in dict(mail.headers)["traceparent"] for mail in received)

    def has_logged(service: str) -> bool:
        lines = stack.data_dir.log_file(service).read_text().splitlines()
        return any(json.loads(line).get("trace_id") == trace_id for line in lines if trace_id in line)

    for service in ("edge", "order", "catalog", "payment", "notification"):
        await eventually(lambda service=service: has_logged(service))


async def test_no_secret_reaches_a_log(customer: RegisteredCustomer, new_product: NewProduct, stack: Stack) -> None:
    product = await new_product()
    await customer.http.with_token(None).post("/auth/login", {"email": customer.email, "password": customer.password})
    refused = await place_order(customer.http, product, payment_method="4242 4242 4242 4242")
    assert (refused.status, refused.code) == (422, "card_number_refused")
    assert b"4242" not in refused.body
    await wait_for_status(customer.http, (await place_order(customer.http, product)).json["id"], "paid")
    secrets = [customer.password, customer.session["refresh_token"], customer.session["access_token"], "4242 4242"]
    secrets += [path.read_text() for path in stack.data_dir.secrets_dir.rglob("souk_*")]
    for log in stack.data_dir.logs_dir.glob("*.log"):
        text = log.read_text()
        assert not [secret for secret in secrets if secret in text], log.name
