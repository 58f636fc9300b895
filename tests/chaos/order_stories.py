"""What customers do until they have bought: every story ends in one order, however the customer came to it."""

import asyncio
import time
from typing import Any
from uuid import uuid4

from tests.chaos.http_client import LoadResponse
from tests.chaos.load_generator import LoadCustomer, LoadGenerator
from tests.chaos.write_journal import JournalCart, JournalOrder, Lines
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
"""How many of a hundred orders are paid how; "" is paid later, or never."""

UNKNOWN_OUTCOME_SECONDS = 45.0
"""Seconds after which nothing of a request that nobody answered is still on its way."""
TRACKING = {"carrier": "Caravan", "number": "C-1"}


class OrderStories:
    """Each method is one customer's visit."""

    def __init__(self, load: LoadGenerator) -> None:
        self.load = load
        self.journal = load.journal
        self.random = load.random

    async def checkout(self) -> None:
        """The mix: from a product's page, as a guest, from one's cart, or from a guest's cart after a login."""
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
        """Filled, thought over, ordered."""
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
        """A guest's cart that joins the customer's own."""
        customer = self._free()
        guest = await self.open_cart() if customer else ""
        if customer is None or not guest or not await self._empty(customer):
            await self.check_out_directly()
            return
        for sku, quantity in self.load.pick_lines().items():
            await self.add_line(guest, sku, quantity)
        brought, cart = self.journal.carts.pop(guest), self.journal.carts[customer.cart_id]
        mine, cart.lines = cart.lines, None
        merged = await self.load.request(
            "merge", "POST", "/carts/mine/merge", {"cart_id": guest}, token=customer.token, key=uuid4().hex
        )
        if merged is not None and merged.is_success and brought.lines is not None and mine is not None:
            cart.lines = _joined(mine, brought.lines)
        await self._order_cart(customer, cart)

    async def abandon_guest_cart(self) -> None:
        """A guest's cart that is left as it is: at the end it must hold exactly this."""
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
        """Notes what the cart holds after an acknowledged change, and that nobody knows after one that was not."""
        cart = self.journal.carts[cart_id]
        before, cart.lines = cart.lines, None
        answer = await self.load.request(
            "cart",
            method,
            path,
            body or b"",
            token=cart.token,
            key=uuid4().hex if method == "POST" else "",
            once=method != "POST",  # without a key it is not repeated: the first might come after the second
        )
        if answer is None or before is None:
            return
        after = dict(before)
        if answer.is_success:
            after[sku] = before.get(sku, 0) + more if now is None else now
            after = {sku: quantity for sku, quantity in after.items() if quantity}
            if _lines(answer) != after:
                self.journal.wrong_responses.append(
                    f"cart {cart_id} was answered with {_lines(answer)} instead of {after}"
                )
        cart.lines = after

    def _free(self) -> LoadCustomer | None:
        """A customer whose cart nobody uses, and of whom nothing is on its way."""
        free, now = self.load.idle_customers, time.monotonic()
        for _ in range(min(10, len(free))):
            customer = free.popleft()
            if customer.busy_until < now:
                return customer
            free.append(customer)
        return None

    async def _empty(self, customer: LoadCustomer) -> bool:
        """Whether the customer's cart is known to be empty; what an order has taken has left it by then."""
        if not customer.cart_id:
            customer.cart_id = await self.open_cart(customer.token)
        cart = self.journal.carts.get(customer.cart_id)
        if cart is not None:
            for _ in range(4):
                seen = await self.load.request("cart", "GET", f"/carts/{customer.cart_id}", token=customer.token)
                if seen is not None and seen.is_success and not _lines(seen):
                    cart.lines, cart.ordered = {}, False
                    return True
                if not cart.ordered:
                    cart.lines = None  # until it was seen to be empty: a visit may end before that
                    path = f"/carts/{customer.cart_id}"
                    await self.load.request("cart", "DELETE", path, token=customer.token, once=True)
                await asyncio.sleep(0.4)
        self._rest(customer)
        return False

    def _rest(self, customer: LoadCustomer) -> None:
        """After an answer that never came the customer leaves the cart alone for a while, then empties it."""
        customer.busy_until = time.monotonic() + UNKNOWN_OUTCOME_SECONDS
        if cart := self.journal.carts.get(customer.cart_id):
            cart.lines, cart.ordered = None, False
        self.load.idle_customers.append(customer)

    async def _order_cart(self, customer: LoadCustomer, cart: JournalCart) -> None:
        sure = cart.lines
        if sure == {}:  # everything was sold out
            self.load.idle_customers.append(customer)
            await self.check_out_directly()
            return
        cart.lines = None
        order = await self._buy(sure, customer.token, cart_id="mine")
        if sure is None or (not order.id and not order.refused):
            self._rest(customer)
            return
        cart.lines, cart.ordered = ({}, True) if order.id else (sure, False)
        self.load.idle_customers.append(customer)

    # Orders.

    async def cancel_unconfirmed_order(self, token: str) -> None:
        """An order whose payment waits for a second step, and which is cancelled instead."""
        lines = self.load.pick_lines()
        order = await self._buy(lines, token, "sim_action", after=False, items=_items(lines))
        if order.id and await self._payment(order, token, "requires_action"):
            await self.cancel_order(order, token)

    async def _buy(
        self, lines: Lines | None, token: str, method: str | None = None, *, after: bool = True, **source: Any
    ) -> JournalOrder:
        """Orders, and looks after the order if it is one."""
        if method is None:
            method = self.random.choices(list(PAYMENT_METHOD_WEIGHTS), weights=list(PAYMENT_METHOD_WEIGHTS.values()))[0]
        marker = uuid4().hex
        order = self.journal.record_order_request(marker, lines, method)
        body = {**source, "shipping_address": {**ADDRESS, "line2": marker}}
        if method:
            body["payment_method"] = method
        answer = await self.load.request("order", "POST", "/orders", body, token=token, key=marker)
        if answer is None:
            return order
        if answer.status == 201:
            self.journal.record_placed(order, answer.json)
            if self.random.random() < 0.03:
                await self._again(answer, body, token, marker)
            if after:
                await self.follow_up(order, token)
        else:
            order.refused = True
            self.load.out_of_stock += answer.code == "out_of_stock"
        return order

    async def _again(self, first: LoadResponse, body: Any, token: str, marker: str) -> None:
        """The same once more under the same key: the same answer."""
        second = await self.load.request("order again", "POST", "/orders", body, token=token, key=marker)
        if second is not None and (second.status, second.body) != (first.status, first.body):
            self.journal.wrong_responses.append(
                f"two answers under the key {marker}: {first.body!r} and {second.body!r}"
            )

    async def follow_up(self, order: JournalOrder, token: str) -> None:
        """Paid later, confirmed, cancelled, shipped, refunded; most are left to themselves."""
        luck = self.random.random()
        if luck < 0.06 and token:
            await asyncio.sleep(self.random.choice((0, 0.2, 2)))
            await self.cancel_order(order, token)
        elif order.method == "sim_action" and token:
            await self.confirm_payment(order, token)
        elif not order.method and token and luck < 0.8:
            await self.pay_order(order, token)
        elif luck > 0.9 and order.method == "sim_ok":
            await self.ship_or_refund(order, refund=luck > 0.95)

    async def cancel_order(self, order: JournalOrder, token: str) -> None:
        answer = await self.load.request(
            "cancel", "POST", f"/orders/{order.id}/cancel", {}, token=token, key=uuid4().hex
        )
        order.cancelled = answer is not None and answer.is_success

    async def pay_order(self, order: JournalOrder, token: str) -> None:
        method = self.random.choice(("sim_ok", "sim_ok", "sim_lost_answer", "sim_insufficient_funds"))
        path, body = f"/orders/{order.id}/pay", {"payment_method": method}
        if self.random.random() < 0.5:
            path, body = "/payments", {**body, "order_id": order.id}
        answer = await self.load.request("pay", "POST", path, body, token=token, key=uuid4().hex)
        if answer is not None and answer.is_success:
            self.journal.record_payment(answer.json)

    async def confirm_payment(self, order: JournalOrder, token: str) -> None:
        """The second step, once the payment asks for it; one in five never takes it."""
        payment = await self._payment(order, token, "requires_action")
        if payment is None or self.random.random() < 0.2:
            return
        body = {"client_secret": payment["client_secret"]}
        path = f"/payments/{payment['id']}/confirm"
        answer = await self.load.request("confirm", "POST", path, body, token=token, key=uuid4().hex)
        if answer is not None and answer.is_success:
            self.journal.record_payment(answer.json)

    async def ship_or_refund(self, order: JournalOrder, *, refund: bool) -> None:
        """The administrator ships a paid order, or sends some of its money back."""
        payment = await self._payment(order, self.load.admin, "captured")
        if payment is None:
            return
        self.journal.record_payment(payment)
        if refund:
            await self._refund(payment)
            return
        for step in ({"status": "shipped", "tracking": TRACKING}, {"status": "delivered"}):
            answer = await self.load.request(
                "ship", "PUT", f"/orders/{order.id}", step, token=self.load.admin, once=True
            )
            if answer is None or not answer.is_success:
                return
            order.shipped, order.delivered = True, step["status"] == "delivered"

    async def _refund(self, payment: Any) -> None:
        marker, amount = uuid4().hex, self.random.choice((payment["amount"]["amount"], 100))
        entry = self.journal.record_refund_request(marker, payment["id"], amount)
        body = {"amount": amount, "reason": marker}
        path = f"/payments/{payment['id']}/refund"
        answer = await self.load.request("refund", "POST", path, body, token=self.load.admin, key=marker)
        entry.acknowledged = answer is not None and answer.is_success

    async def _payment(self, order: JournalOrder, token: str, status: str) -> Any:
        """The order's payment once it has this status, or None when that takes too long."""
        for pause in (0.5, 1, 2, 4):
            await asyncio.sleep(pause)
            answer = await self.load.request("payment", "GET", f"/payments?order_id={order.id}", token=token)
            found = answer.json["items"] if answer is not None and answer.is_success else []
            for payment in found:
                if payment["status"] == status:
                    return payment
        return None


def _items(lines: Lines) -> list[dict[str, Any]]:
    return [{"sku": sku, "quantity": quantity} for sku, quantity in lines.items()]


def _lines(answer: LoadResponse) -> Lines:
    return {item["sku"]: item["quantity"] for item in answer.json["items"]}


def _joined(one: Lines, other: Lines) -> Lines:
    return {sku: one.get(sku, 0) + other.get(sku, 0) for sku in {*one, *other}}
