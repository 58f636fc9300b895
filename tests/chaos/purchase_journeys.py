"""Stories of customers who buy: each ends in one order, by different ways."""

import asyncio
import time
from typing import Any
from uuid import uuid4

from tests.chaos.http_client import LoadResponse
from tests.chaos.load_generator import LoadCustomer, LoadGenerator
from tests.chaos.write_journal import JournalCart, JournalOrder, LineQuantities
from tests.support.http import ADDRESS

PAYMENT_METHOD_WEIGHTS = {
    "sim_ok": 74,
    "sim_declined": 4,
    "sim_timeout": 4,
    "sim_error_once": 4,
    "sim_lost_answer": 4,
    "sim_action": 5,
    "": 5,
}
"""How many of a hundred orders use which payment method; with "" the order is paid later or never."""

UNKNOWN_OUTCOME_SECONDS = 45.0
"""Time after which a request without a response can no longer be in progress."""
COUPON_SHARE = 0.15
"""Of orders. Two of three coupons are soon used up, and come back when their orders are cancelled."""
GIFT_CARD_SHARE = 0.08
"""Of orders. Two of three gift cards are soon used up, and are filled again when their orders are cancelled."""
TRACKING = {"carrier": "Caravan", "number": "C-1"}


class OrderStories:
    """Each method is one customer's visit."""

    def __init__(self, load: LoadGenerator) -> None:
        self.load = load
        self.journal = load.journal
        self.random = load.random

    async def checkout(self) -> None:
        """The mix: from a product page, as a guest, from the customer's cart, or from a guest cart after a login."""
        ways = (self.check_out_directly, self.check_out_as_guest, self.check_out_from_cart, self.check_out_after_merge)
        await self.random.choices(ways, weights=(52, 12, 28, 8))[0]()

    async def check_out_directly(self) -> None:
        customer = self.random.choice(self.load.customers)
        lines = self.load.pick_lines()
        await self._buy(lines, customer.token, items=_items(lines))

    async def check_out_as_guest(self) -> None:
        lines = self.load.pick_lines()
        await self._buy(lines, "", items=_items(lines), email=f"{uuid4().hex}@example.com")

    async def check_out_from_cart(self) -> None:
        """Fills the cart, changes it now and then, and orders it."""
        customer = self._free()
        if customer is None or not await self._empty(customer):
            await self.check_out_directly()
            return
        cart = self.journal.carts[customer.cart_id]
        for sku, quantity in self.load.pick_lines().items():
            await self.add_line(customer.cart_id, sku, quantity)
        if cart.lines and self.random.random() < 0.3:
            await self.change_line(
                customer.cart_id, self.random.choice(sorted(cart.lines)), self.random.randrange(1, 4)
            )
        await self._order_cart(customer, cart)

    async def check_out_after_merge(self) -> None:
        """Merges a guest cart into the customer's own and orders it."""
        customer = self._free()
        guest = await self.open_cart() if customer else ""
        if customer is None or not guest or not await self._empty(customer):
            await self.check_out_directly()
            return
        for sku, quantity in self.load.pick_lines().items():
            await self.add_line(guest, sku, quantity)
        guest_cart, cart = self.journal.carts.pop(guest), self.journal.carts[customer.cart_id]
        mine, cart.lines = cart.lines, None
        merged = await self.load.request(
            "merge", "POST", "/carts/mine/merge", {"cart_id": guest}, token=customer.token, key=uuid4().hex
        )
        if merged is not None and merged.is_success and guest_cart.lines is not None and mine is not None:
            cart.lines = _joined(mine, guest_cart.lines)
        await self._order_cart(customer, cart)

    async def abandon_guest_cart(self) -> None:
        """Leaves a guest cart behind; in the end it must hold exactly what was acknowledged."""
        cart_id = await self.open_cart()
        if not cart_id:
            return
        cart = self.journal.carts[cart_id]
        for sku, quantity in self.load.pick_lines().items():
            await self.add_line(cart_id, sku, quantity)
        if cart.lines:
            sku = self.random.choice(sorted(cart.lines))
            await self.change_line(cart_id, sku, self.random.randrange(0, 5))
        await self.load.request("cart", "GET", f"/carts/{cart_id}")

    # Carts.

    async def open_cart(self, token: str = "") -> str:
        opened = await self.load.request("cart", "POST", "/carts", {}, token=token, key=uuid4().hex)
        if opened is None or not opened.is_success:
            return ""
        cart_id = str(opened.json["id"])
        self.journal.carts[cart_id] = JournalCart(_lines(opened), token)
        return cart_id

    async def add_line(self, cart_id: str, sku: str, quantity: int) -> None:
        body = {"sku": sku, "quantity": quantity}
        await self._changed(cart_id, "POST", f"/carts/{cart_id}/items", body, sku=sku, more=quantity)

    async def change_line(self, cart_id: str, sku: str, quantity: int) -> None:
        path = f"/carts/{cart_id}/items/{sku}"
        if quantity:
            await self._changed(cart_id, "PUT", path, {"quantity": quantity}, sku=sku, now=quantity)
        else:
            await self._changed(cart_id, "DELETE", path, {}, sku=sku, now=0)

    async def _changed(
        self, cart_id: str, method: str, path: str, body: Any, *, sku: str, more: int = 0, now: int | None = None
    ) -> None:
        """Records a cart's content after an acknowledged change, or that it is unknown after any other."""
        cart = self.journal.carts[cart_id]
        before, cart.lines = cart.lines, None
        response = await self.load.request(
            "cart",
            method,
            path,
            body or b"",
            token=cart.token,
            key=uuid4().hex if method == "POST" else "",
            once=method != "POST",  # without a key it is not repeated: the first request might arrive after the second
        )
        if response is None or before is None:
            return
        after = dict(before)
        if response.is_success:
            after[sku] = before.get(sku, 0) + more if now is None else now
            after = {sku: quantity for sku, quantity in after.items() if quantity}
            if _lines(response) != after:
                self.journal.wrong_responses.append(
                    f"cart {cart_id} was returned with {_lines(response)} instead of {after}"
                )
        cart.lines = after

    def _free(self) -> LoadCustomer | None:
        """A customer whose cart no story uses and who has no request in progress."""
        free, now = self.load.idle_customers, time.monotonic()
        for _ in range(min(10, len(free))):
            customer = free.popleft()
            if customer.busy_until < now:
                return customer
            free.append(customer)
        return None

    async def _empty(self, customer: LoadCustomer) -> bool:
        """Empties the customer's cart; False if its content stays unknown. Paid lines leave it by themselves."""
        if not customer.cart_id:
            customer.cart_id = await self.open_cart(customer.token)
        cart = self.journal.carts.get(customer.cart_id)
        if cart is not None:
            for look in range(4):
                seen = await self.load.request("cart", "GET", f"/carts/{customer.cart_id}", token=customer.token)
                if seen is not None and seen.is_success and not _lines(seen):
                    cart.lines, cart.order = {}, None
                    return True
                if look or cart.order is None:
                    # Unknown until it was seen to be empty: the story may end before that.
                    cart.lines, cart.order = None, None
                    path = f"/carts/{customer.cart_id}"
                    await self.load.request("cart", "DELETE", path, token=customer.token, once=True)
                await asyncio.sleep(0.4)
        self._rest(customer)
        return False

    def _rest(self, customer: LoadCustomer) -> None:
        """After a missing response the customer leaves the cart alone for a while, then empties it."""
        customer.busy_until = time.monotonic() + UNKNOWN_OUTCOME_SECONDS
        if cart := self.journal.carts.get(customer.cart_id):
            cart.lines, cart.order = None, None
        self.load.idle_customers.append(customer)

    async def _order_cart(self, customer: LoadCustomer, cart: JournalCart) -> None:
        sure = cart.lines
        if sure == {}:  # everything was sold out
            self.load.idle_customers.append(customer)
            await self.check_out_directly()
            return
        cart.lines = None
        order = await self._buy(sure, customer.token, cart_id="mine")
        if order.method == "sim_declined" and await self._is_cancelled(order, customer.token):
            order = await self._buy(sure, customer.token, "sim_ok", cart_id="mine")
        if sure is None or (not order.id and not order.refused):
            self._rest(customer)
            return
        cart.lines, cart.order = sure, order if order.id else None
        self.load.idle_customers.append(customer)

    # Orders.

    async def cancel_unconfirmed_order(self, token: str) -> None:
        """Cancels an order whose payment waits for a confirmation."""
        lines = self.load.pick_lines()
        order = await self._buy(lines, token, "sim_action", after=False, items=_items(lines))
        if order.id and await self._payment(order, token, "requires_action"):
            await self.cancel_order(order, token)

    async def _buy(
        self, lines: LineQuantities | None, token: str, method: str | None = None, *, after: bool = True, **source: Any
    ) -> JournalOrder:
        """Places an order and follows it up."""
        if method is None:
            method = self.random.choices(list(PAYMENT_METHOD_WEIGHTS), weights=list(PAYMENT_METHOD_WEIGHTS.values()))[0]
        marker = uuid4().hex
        order = self.journal.record_order_request(marker, lines, method)
        body = {**source, "shipping_address": {**ADDRESS, "line2": marker}}
        if method:
            body["payment_method"] = method
        if self.random.random() < COUPON_SHARE:
            body["coupon"] = self.random.choice(self.load.coupons)
        if self.random.random() < GIFT_CARD_SHARE:
            order.gift_card = True
            body["gift_cards"] = [self.random.choice(self.load.gift_cards)]
        response = await self.load.request("order", "POST", "/orders", body, token=token, key=marker)
        if response is None:
            return order
        if response.status == 201:
            self.journal.record_placed(order, response.json)
            if self.random.random() < 0.03:
                await self._repeat_order(response, body, token, marker)
            if after:
                await self.follow_up(order, token)
        else:
            order.refused = True
            self.load.out_of_stock += response.code == "out_of_stock"
        return order

    async def _repeat_order(self, first: LoadResponse, body: Any, token: str, marker: str) -> None:
        """Repeats the order under the same key: the response must be the same."""
        second = await self.load.request("order again", "POST", "/orders", body, token=token, key=marker)
        if second is not None and (second.status, second.body) != (first.status, first.body):
            self.journal.wrong_responses.append(
                f"two responses under the key {marker}: {first.body!r} and {second.body!r}"
            )

    async def follow_up(self, order: JournalOrder, token: str) -> None:
        """Pays later, confirms, cancels, ships or refunds; most orders are left alone."""
        luck = self.random.random()
        if luck < 0.06 and token:
            await asyncio.sleep(self.random.choice((0, 0.2, 2)))
            await self.cancel_order(order, token)
        elif order.method == "sim_action" and token:
            await self.confirm_payment(order, token)
        elif not order.method and token and luck < 0.8:
            await self.pay_order(order, token)
        elif luck > 0.9 and order.method == "sim_ok" and not order.gift_card:
            await self.ship_or_refund(order, refund=luck > 0.95)

    async def cancel_order(self, order: JournalOrder, token: str) -> None:
        response = await self.load.request(
            "cancel", "POST", f"/orders/{order.id}/cancel", {}, token=token, key=uuid4().hex
        )
        order.cancelled = response is not None and response.is_success

    async def pay_order(self, order: JournalOrder, token: str) -> None:
        method = self.random.choice(("sim_ok", "sim_ok", "sim_lost_answer", "sim_insufficient_funds"))
        path, body = f"/orders/{order.id}/pay", {"payment_method": method}
        if self.random.random() < 0.5:
            path, body = "/payments", {**body, "order_id": order.id}
        response = await self.load.request("pay", "POST", path, body, token=token, key=uuid4().hex)
        if response is not None and response.is_success:
            self.journal.record_payment(response.json)

    async def confirm_payment(self, order: JournalOrder, token: str) -> None:
        """Confirms the payment when it asks for that; one customer in five never does."""
        payment = await self._payment(order, token, "requires_action")
        if payment is None or self.random.random() < 0.2:
            return
        body = {"client_secret": payment["client_secret"]}
        path = f"/payments/{payment['id']}/confirm"
        response = await self.load.request("confirm", "POST", path, body, token=token, key=uuid4().hex)
        if response is not None and response.is_success:
            self.journal.record_payment(response.json)

    async def ship_or_refund(self, order: JournalOrder, *, refund: bool) -> None:
        """As the administrator, ships a paid order, in two parcels if it can, or refunds some of it."""
        payment = await self._payment(order, self.load.admin, "captured")
        if payment is None:
            return
        self.journal.record_payment(payment)
        if refund:
            await self._refund(payment)
            return
        if sum((order.lines or {}).values()) > 1:
            parcel = {"items": [{"sku": next(iter(order.lines or {})), "quantity": 1}]}
            path, key = f"/orders/{order.id}/fulfilments", uuid4().hex
            await self.load.request("ship", "POST", path, parcel, token=self.load.admin, key=key)
        for step in ({"status": "shipped", "tracking": TRACKING}, {"status": "delivered"}):
            response = await self.load.request(
                "ship", "PUT", f"/orders/{order.id}", step, token=self.load.admin, once=True
            )
            if response is None or not response.is_success:
                return
            order.shipped, order.delivered = True, step["status"] == "delivered"

    async def _refund(self, payment: Any) -> None:
        marker, amount = uuid4().hex, self.random.choice((payment["amount"]["amount"], 100))
        entry = self.journal.record_refund_request(marker, payment["id"], amount)
        body = {"amount": amount, "reason": marker}
        path = f"/payments/{payment['id']}/refund"
        response = await self.load.request("refund", "POST", path, body, token=self.load.admin, key=marker)
        entry.acknowledged = response is not None and response.is_success

    async def _is_cancelled(self, order: JournalOrder, token: str) -> bool:
        """Whether the order is seen to be cancelled before long: then its cart can be ordered again."""
        for pause in (0.2, 0.5, 1, 2):
            await asyncio.sleep(pause)
            response = await self.load.request("order", "GET", f"/orders/{order.id}", token=token) if order.id else None
            if response is not None and response.is_success and response.json["status"] == "cancelled":
                return True
        return False

    async def _payment(self, order: JournalOrder, token: str, status: str) -> Any:
        """The order's payment once it has this status; None when that takes too long."""
        for pause in (0.5, 1, 2, 4):
            await asyncio.sleep(pause)
            response = await self.load.request("payment", "GET", f"/payments?order_id={order.id}", token=token)
            found = response.json["items"] if response is not None and response.is_success else []
            for payment in found:
                if payment["status"] == status:
                    return payment
        return None


def _items(lines: LineQuantities) -> list[dict[str, Any]]:
    return [{"sku": sku, "quantity": quantity} for sku, quantity in lines.items()]


def _lines(response: LoadResponse) -> LineQuantities:
    return {item["sku"]: item["quantity"] for item in response.json["items"]}


def _joined(one: LineQuantities, other: LineQuantities) -> LineQuantities:
    return {sku: one.get(sku, 0) + other.get(sku, 0) for sku in {*one, *other}}
