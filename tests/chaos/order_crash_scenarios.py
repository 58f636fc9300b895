"""Scenarios of orders, payments and products: each prepares a state, crashes a process, and checks the result."""

import asyncio
import io
from contextlib import AsyncExitStack
from functools import partial
from typing import Any
from uuid import UUID

from PIL import Image

from contracts import catalog, headers
from infra.foundation.ids import new_id
from services.cart.domain.carts import cart_reference
from services.order.domain.orders import CartVersion
from services.order.handlers.place import derive_hold_id
from tests.chaos.account_and_cart_crash_scenarios import customer_with_cart
from tests.chaos.crash_harness import EVENTUALLY_SECONDS, PRICE, CrashOrder, CrashTestShop
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, HttpClient
from tests.support.rpc import RpcCaller

UNPAYABLE_PRICE = {"amount": 900_000_000_000, "currency": "USD"}
TRACKING = {"carrier": "Caravan", "number": "C-1"}
CSV_HEADER = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,Variant Price\n"

# Orders.


async def place_order(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer, sku = await _customer(shop)
    async with crash:
        order_id = await shop.place_order(customer, items=_one(sku))
    shop.expect_final_status(customer, order_id, "paid")


async def issue_invoice(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer, sku = await _customer(shop)
    async with crash:
        order_id = await shop.place_order(customer, items=_one(sku))
    shop.expect_final_status(customer, order_id, "paid")
    shop.final_checks.append(partial(_has_invoice, shop, customer, order_id))


async def _has_invoice(shop: CrashTestShop, customer: HttpClient, order_id: str) -> bool:
    return (await shop.send(customer, "GET", f"/orders/{order_id}/invoice")).body.startswith(b"%PDF-")


async def place_several_orders(shop: CrashTestShop, crash: CrashOrder) -> None:
    """Concurrent orders, so that their events arrive in one batch."""
    customer, sku = await _customer(shop)
    async with crash:
        orders = await asyncio.gather(*(shop.place_order(customer, items=_one(sku)) for _ in range(4)))
    for order_id in orders:
        shop.expect_final_status(customer, order_id, "paid")


async def exceed_payment_limit(shop: CrashTestShop, crash: CrashOrder) -> None:
    """An order over the payment limit: its stock is held, the order refused, the hold released."""
    customer, _ = await shop.register()
    sku = (await shop.create_product(price=UNPAYABLE_PRICE))["sku"]
    body = {"items": [{"sku": sku, "quantity": 2}], "shipping_address": ADDRESS}
    async with crash:
        response = await shop.send(customer, "POST", "/orders", body)
    assert response.status == 422, response.body


async def exceed_coupon_limit(shop: CrashTestShop, crash: CrashOrder) -> None:
    """An order whose coupon requires more: its stock is held, the order refused, and its process dies before it
    releases the hold.
    """
    customer, sku = await _customer(shop)
    coupon = {"code": new_id().hex, "kind": "percent", "value": 10, "min_subtotal": 10**9, "currency": "USD"}
    await shop.send(shop.admin, "POST", "/coupons", coupon)
    body = {"items": _one(sku), "shipping_address": ADDRESS, "coupon": coupon["code"]}
    async with crash:
        response = await shop.send(customer, "POST", "/orders", body)
    assert response.json["reason"] == "min_subtotal", response.body


async def order_with_gift_card(shop: CrashTestShop, crash: CrashOrder) -> None:
    """An order that a gift card pays in part: a process dies while only payment knows what is held on the card."""
    customer, sku = await _customer(shop)
    amount = {"amount": 500, "currency": "USD"}
    card = (await shop.send(shop.admin, "POST", "/gift-cards", {"amount": amount})).json
    async with crash:
        order_id = await shop.place_order(customer, items=_one(sku), gift_cards=[card["code"]])
    shop.expect_final_status(customer, order_id, "paid")
    shop.final_checks.append(partial(_is_spent, shop, card["id"]))


async def _is_spent(shop: CrashTestShop, card_id: str) -> bool:
    card = (await shop.send(shop.admin, "GET", f"/gift-cards/{card_id}")).json
    return (card["balance"]["amount"], card["held"]["amount"]) == (0, 0)


async def order_with_expiring_hold(shop: CrashTestShop, crash: CrashOrder) -> None:
    """An earlier attempt to order this cart died and left its hold, which expires soon."""
    sku = (await shop.create_product())["sku"]
    customer = await customer_with_cart(shop, sku)
    cart = await shop.send(customer, "GET", "/carts/mine")
    version = int(cart.headers["ETag"].strip('"').partition(".")[0])
    hold_id = derive_hold_id(CartVersion(cart_reference(cart.json["id"]), version), None)
    hold = {"hold_id": str(hold_id), "lines": [{"sku": sku, "quantity": 2}], "seconds": 45}
    async for attempt in shop.retrying():
        with attempt:
            await RpcCaller(shop.nats)(catalog.HOLD, hold)
    async with crash:
        order_id = await shop.place_order(customer, cart_id="mine")
    shop.expect_final_status(customer, order_id, "paid")


async def cancel_order(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer, order_id = await _unpaid(shop)
    async with crash:
        response = await shop.send(customer, "POST", f"/orders/{order_id}/cancel", {})
    assert response.json["status"] == "cancelled", response.body


async def ship_order(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer, order_id = await _paid(shop)
    async with crash:
        await shop.send(shop.admin, "PUT", f"/orders/{order_id}", {"status": "shipped", "tracking": TRACKING})
    shop.expect_final_status(customer, order_id, "shipped")


async def leave_unpaid(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer, order_id = await _unpaid(shop)
    async with crash:
        await shop.execute("order", "UPDATE orders SET pay_by = now() WHERE id = $1", UUID(order_id))
    shop.expect_final_status(customer, order_id, "cancelled")


async def publish_unreadable_event(shop: CrashTestShop, crash: CrashOrder) -> None:
    """An event that no service can parse becomes a dead letter, once."""
    payment_id, event_id = new_id(), new_id()
    shop.unreadable_ids |= {str(payment_id), str(event_id)}
    header = {headers.EVENT_ID: str(event_id), headers.EVENT_TYPE: "souk.payment.captured"}
    async with crash:
        await shop.nats.jetstream().publish(f"event.payment.{payment_id}.captured", b"nonsense", headers=header)


# Payments.


async def create_payment(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer, order_id = await _unpaid(shop)
    async with crash:
        response = await shop.send(customer, "POST", "/payments", {"order_id": order_id, "payment_method": "sim_ok"})
    assert response.status == 201, response.body
    shop.expect_final_status(customer, order_id, "paid")


async def pay_order(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer, order_id = await _unpaid(shop)
    async with crash:
        response = await shop.send(customer, "POST", f"/orders/{order_id}/pay", {"payment_method": "sim_ok"})
    assert response.status == 202, response.body
    shop.expect_final_status(customer, order_id, "paid")


async def order_with_slow_gateway(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer, sku = await _customer(shop)
    async with crash:
        order_id = await shop.place_order(customer, method="sim_timeout", items=_one(sku))
    shop.expect_final_status(customer, order_id, "paid")


async def charge_while_order_is_down(shop: CrashTestShop, crash: CrashOrder) -> None:
    """The payment service needs the order service, which is down."""
    customer, sku = await _customer(shop)
    async with shop.without_crashes("order"), crash, AsyncExitStack() as until_it_dies:
        with shop.paused("payment"):
            order_id = await shop.place_order(customer, items=_one(sku))
            await eventually(shop.order_outbox_is_empty, timeout_seconds=EVENTUALLY_SECONDS)
            await until_it_dies.enter_async_context(shop.stopped("order"))
        await crash.wait_until_triggered()
    shop.expect_final_status(customer, order_id, "paid")


async def confirm_payment(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer, order_id, payment = await _unconfirmed(shop)
    body = {"client_secret": payment["client_secret"]}
    async with crash:
        response = await shop.send(customer, "POST", f"/payments/{payment['id']}/confirm", body)
    assert response.status == 200, response.body
    shop.expect_final_status(customer, order_id, "paid")


async def cancel_unconfirmed(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer, order_id, _ = await _unconfirmed(shop)
    async with crash:
        await shop.send(customer, "POST", f"/orders/{order_id}/cancel", {})
    shop.expect_final_status(customer, order_id, "cancelled")


async def refund_payment(shop: CrashTestShop, crash: CrashOrder) -> None:
    customer, order_id = await _paid(shop)
    payment = await shop.wait_for_payment(customer, order_id, "captured")
    body = {"amount": 100, "reason": "a scratch"}
    async with crash:
        response = await shop.send(shop.admin, "POST", f"/payments/{payment['id']}/refund", body)
    assert response.status == 200, response.body
    shop.final_checks.append(partial(_gave_back, shop, customer, order_id))


async def _gave_back(shop: CrashTestShop, customer: HttpClient, order_id: str) -> bool:
    (payment,) = (await shop.send(customer, "GET", f"/payments?order_id={order_id}")).json["items"]
    return (payment["status"], payment["refunded"]["amount"]) == ("partially_refunded", 100)


async def _customer(shop: CrashTestShop) -> tuple[HttpClient, str]:
    customer, _ = await shop.register()
    return customer, (await shop.create_product())["sku"]


def _one(sku: str) -> list[dict[str, Any]]:
    return [{"sku": sku, "quantity": 1}]


async def _unpaid(shop: CrashTestShop) -> tuple[HttpClient, str]:
    customer, sku = await _customer(shop)
    return customer, await shop.place_order(customer, method=None, items=_one(sku))


async def _paid(shop: CrashTestShop) -> tuple[HttpClient, str]:
    customer, sku = await _customer(shop)
    order_id = await shop.place_order(customer, items=_one(sku))
    await shop.wait_for_status(customer, order_id, "paid")
    return customer, order_id


async def _unconfirmed(shop: CrashTestShop) -> tuple[HttpClient, str, dict[str, Any]]:
    """A payment that needs the customer's second step. Payment asks order for the method, so order does not die now."""
    customer, sku = await _customer(shop)
    async with shop.without_crashes("order"):
        order_id = await shop.place_order(customer, method="sim_action", items=_one(sku))
        return customer, order_id, await shop.wait_for_payment(customer, order_id, "requires_action")


# Products.


async def create_product(shop: CrashTestShop, crash: CrashOrder) -> None:
    async with crash:
        product = await shop.create_product()
    assert (await shop.send(shop.http, "GET", f"/products/{product['id']}")).status == 200


async def create_duplicate_sku(shop: CrashTestShop, crash: CrashOrder) -> None:
    body = {"name": "Brass lamp", "sku": (await shop.create_product())["sku"], "price": PRICE, "stock": 1}
    async with crash:
        assert (await shop.send(shop.admin, "POST", "/products", body)).status == 409


async def import_products(shop: CrashTestShop, crash: CrashOrder) -> None:
    """Imports three products; each is created once."""
    mark = new_id().hex
    lines = [f"lamp-{mark}-{number},Lamp,Title,Default Title,C-{mark}-{number},5,19.99" for number in range(3)]
    content = (CSV_HEADER + "\n".join(lines) + "\n").encode()
    shop.skus |= {f"C-{mark}-{number}": 5 for number in range(3)}

    async def done() -> Any:
        job = (await shop.send(shop.admin, "GET", f"/products/import/{started.json['id']}")).json
        return job["status"] == "done" and job

    async with crash:
        csv_headers = {"Content-Type": "text/csv"}
        started = await shop.send(shop.admin, "POST", "/products/import", data=content, headers=csv_headers)
        assert started.status == 202, started.body
        job = await eventually(done, timeout_seconds=EVENTUALLY_SECONDS)
    assert (job["created"], job["updated"], job["errors"]) == (3, 0, [])


async def index_products(shop: CrashTestShop, crash: CrashOrder) -> None:
    """Products that an older release wrote are indexed for search, in spite of a crash between them."""
    products = [UUID((await shop.create_product())["id"]) for _ in range(3)]
    ids = ",".join(f"'{product}'" for product in products)
    async with crash:
        await shop.execute("catalog", f"UPDATE product SET version = version + 1 WHERE id IN ({ids})")  # noqa: S608 - ids

    async def indexed() -> bool:
        return await shop.query_value_is_true("catalog", "SELECT bool_and(indexed_version = version) FROM product")

    await eventually(indexed, timeout_seconds=EVENTUALLY_SECONDS)


async def upload_image(shop: CrashTestShop, crash: CrashOrder) -> None:
    """Uploads an image and reads it."""
    product = await shop.create_product()
    async with crash:
        image = await _upload_image(shop, product["id"])
    assert (await shop.send(shop.http, "GET", "/" + image["url"])).status == 200


async def delete_image(shop: CrashTestShop, crash: CrashOrder) -> None:
    """Deletes an image: after a crash between the product and the files, it cannot be read either."""
    product = await shop.create_product()
    image = await _upload_image(shop, product["id"])
    path = f"/products/{product['id']}/images/{image['id']}"
    async with crash:
        response = await shop.send(shop.admin, "DELETE", path)
    assert response.status in {204, 404}, response.body
    assert (await shop.send(shop.http, "GET", f"/products/{product['id']}")).json["images"] == []
    assert (await shop.send(shop.http, "GET", f"//images/{image['id']}/160.webp")).status == 404


async def _upload_image(shop: CrashTestShop, product_id: str) -> dict[str, Any]:
    content = io.BytesIO()
    Image.new("RGB", (400, 300), "orange").save(content, "JPEG")
    form, kind = _form(content.getvalue())
    response = await shop.send(
        shop.admin, "POST", f"/products/{product_id}/images", data=form, headers={"Content-Type": kind}
    )
    assert response.status == 201, response.body
    image: dict[str, Any] = response.json
    return image


def _form(content: bytes) -> tuple[bytes, str]:
    """A form as bytes, so that it can be sent again."""
    mark = new_id().hex
    head = f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="lamp.jpg"\r\n\r\n'
    return head.encode() + content + f"\r\n--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"
