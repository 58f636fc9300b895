"""The users and resources of the access tests: an owner, another customer, an administrator and API keys."""

import io
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pyotp
from PIL import Image

from contracts import user
from contracts.access import AccessRule, CallerKind
from contracts.catalog import Product
from contracts.identity import ApiKeyScope
from contracts.notification import NotificationKind
from contracts.operation import AnyOperation
from infra.foundation.ids import new_id
from infra.ops.devstack.mail_files import list_mails
from services.notification.domain.mails import SUBJECT_LINES
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, HttpClient, HttpResponse, RegisteredCustomer
from tests.support.rpc import RpcCaller

MAIL_TOKEN = re.compile(r"^ {2}([A-Za-z0-9_-]{43})$", re.MULTILINE)
PASSWORD = "open sesame"
FORM_CONTENT_TYPE = "multipart/form-data; boundary=part"


def gift_card_body() -> dict[str, Any]:
    return {"amount": {"amount": 5000, "currency": "USD"}}


def coupon_body() -> dict[str, Any]:
    return {"code": f"A{new_id().hex}", "kind": "percent", "value": 10}


def tax_rate_body() -> dict[str, Any]:
    """A rate at a place that no other test ships to."""
    return {"country": "AQ", "postal_prefix": new_id().hex[-16:], "rate_ppm": 10_000, "name": "Ice tax"}


@dataclass(frozen=True)
class ApiKeys:
    """API keys: with one scope, with all scopes but one, and with all scopes."""

    with_scope: Mapping[ApiKeyScope, str]
    without_scope: Mapping[ApiKeyScope, str]
    all_scopes: str


@dataclass(frozen=True)
class GuestOrder:
    """An order of a guest, with its token."""

    id: str
    token: str


@dataclass(frozen=True)
class AccessFixtures:
    """`owner` owns the resources; `admin` is an administrator who ordered nothing and created the `keys`."""

    http: HttpClient
    owner: RegisteredCustomer
    other_customer: RegisteredCustomer
    admin: RegisteredCustomer
    mail: Path
    new_product: Callable[..., Awaitable[Product]]
    keys: ApiKeys
    other_guest: GuestOrder
    user_database: asyncpg.Connection
    """The database of user, for changes that no route makes."""
    credited_orders: dict[bool, GuestOrder] = field(default_factory=dict)
    """By whether a guest has placed them."""

    def customer_for(self, caller: CallerKind) -> RegisteredCustomer | None:
        people = {
            CallerKind.OWNER: self.owner,
            CallerKind.OTHER_CUSTOMER: self.other_customer,
            CallerKind.ADMIN: self.admin,
        }
        return people.get(caller)

    def client_for(self, caller: CallerKind, operation: AnyOperation | None = None) -> HttpClient:
        """An HTTP client of a caller; an API key has only the scope that the operation needs."""
        if caller is CallerKind.API_KEY:
            scope = operation.scope if operation is not None and AccessRule(operation).needs_scope else None
            return self.http.with_token(self.keys.with_scope[scope] if scope else self.keys.all_scopes)
        if caller in (CallerKind.GUEST, CallerKind.OTHER_GUEST):  # a sample request for a guest has its order's token
            return self.http.with_order_token(self.other_guest.token)
        customer = self.customer_for(caller)
        return customer.http if customer else self.http

    def key_without(self, scope: ApiKeyScope) -> HttpClient:
        return self.http.with_token(self.keys.without_scope[scope])

    async def create_sku(self) -> str:
        return (await self.new_product(stock=100)).variants[0].sku

    async def create_product(self) -> str:
        return str((await self.new_product(stock=100)).id)

    async def mailed_token(self, email: str, kind: NotificationKind) -> str:
        """The token in the newest mail of a kind to an address."""

        def found() -> list[str]:
            sent = [mail for mail in list_mails(self.mail, to=email) if mail.subject == SUBJECT_LINES[kind]]
            return [token for mail in sent for token in MAIL_TOKEN.findall(mail.text)]

        tokens: list[str] = await eventually(found)
        return tokens[-1]

    async def remove_totp(self, customer: RegisteredCustomer) -> None:
        """Removes the customer's second factor."""
        await self.user_database.execute("UPDATE account SET totp = false WHERE id = $1", customer.user["id"])
        await self.user_database.execute("DELETE FROM second_factor WHERE account_id = $1", customer.user["id"])

    async def unconfirmed_totp_code(self, customer: RegisteredCustomer) -> str:
        """The code of a new authenticator that is not confirmed yet."""
        await self.remove_totp(customer)
        begun = await customer.http.post("/users/profile/totp", {"password": customer.password})
        assert begun.status == 201, begun.body
        return pyotp.TOTP(begun.json["secret"]).now()

    async def totp_code(self, customer: RegisteredCustomer) -> str:
        """The code of a confirmed authenticator, as if none of its codes had been used."""
        code = await self.unconfirmed_totp_code(customer)
        confirmed = await customer.http.post("/users/profile/totp/confirm", {"code": code})
        assert confirmed.status == 200, confirmed.body
        await self.user_database.execute(
            "UPDATE second_factor SET last_step = 1 WHERE account_id = $1", customer.user["id"]
        )
        return code

    async def create_address(self) -> str:
        return _id(await self.owner.http.post("/users/profile/addresses", ADDRESS))

    async def create_session(self) -> str:
        """A session of the owner, other than the one that sends the requests."""
        customer = {"email": self.owner.email, "password": self.owner.password}
        assert (await self.http.post("/auth/login", customer)).status == 200
        listed = (await self.owner.http.get("/users/profile/sessions")).json["items"]
        return next(str(one["id"]) for one in listed if not one["current"])

    async def create_cart(self) -> tuple[str, str]:
        """The owner's cart by its real id, and a SKU in it."""
        sku = await self.create_sku()
        response = await self.owner.http.post("/carts/mine/items", {"sku": sku, "quantity": 1})
        return _id(response), sku

    async def create_guest_cart(self) -> str:
        return _id(await self.http.post("/carts", {}))

    async def create_order(self) -> str:
        body = {"items": [{"sku": await self.create_sku(), "quantity": 1}], "shipping_address": ADDRESS}
        return _id(await self.owner.http.post("/orders", body))

    async def create_guest_order(self) -> GuestOrder:
        return await place_guest_order(self.http, await self.create_sku())

    async def create_claimable_order(self) -> str:
        """An order that was placed as a guest with the owner's e-mail, which is verified."""
        await self.user_database.execute(
            "UPDATE account SET email_verified = true WHERE id = $1", self.owner.user["id"]
        )
        return (await place_guest_order(self.http, await self.create_sku(), email=self.owner.email)).id

    async def create_payment(self, method: str = "sim_ok", status: str = "captured") -> dict[str, Any]:
        """A payment for an order of the owner, once it has this status."""
        return await self._create_payment(self.owner.http, await self.create_order(), method, status)

    async def create_guest_payment(
        self, method: str = "sim_ok", status: str = "captured"
    ) -> tuple[GuestOrder, dict[str, Any]]:
        """A payment for a guest's order, once it has this status."""
        guest_order = await self.create_guest_order()
        http = self.http.with_order_token(guest_order.token)
        return guest_order, await self._create_payment(http, guest_order.id, method, status)

    async def _create_payment(self, http: HttpClient, order_id: str, method: str, status: str) -> dict[str, Any]:
        made = await http.post("/payments", {"order_id": order_id, "payment_method": method})
        assert made.status == 201, made.body

        async def settled() -> Any:
            found = (await http.get(f"/payments/{made.json['id']}")).json
            return found if found["status"] == status else None

        payment: dict[str, Any] = await eventually(settled)
        return payment

    async def create_paid_order(self) -> str:
        order_id = str((await self.create_payment())["order_id"])

        async def is_paid() -> bool:
            return bool((await self.owner.http.get(f"/orders/{order_id}")).json["status"] == "paid")

        await eventually(is_paid)
        return order_id

    async def credited_order(self, *, of_guest: bool) -> GuestOrder:
        """An order with an invoice and a credit note, made once: it is only read. A customer's has no token."""
        if of_guest not in self.credited_orders:
            if of_guest:
                order, payment = await self.create_guest_payment()
            else:
                payment = await self.create_payment()
                order = GuestOrder(payment["order_id"], "")
            body = {"amount": 1, "reason": "arrived late"}
            assert (await self.admin.http.post(f"/payments/{payment['id']}/refund", body)).status == 200

            async def is_credited() -> bool:
                return (await self.admin.http.get(f"/orders/{order.id}/credit-notes/1")).status == 200

            await eventually(is_credited)
            self.credited_orders[of_guest] = order
        return self.credited_orders[of_guest]

    async def create_fulfilment(self) -> str:
        """A parcel of an order of the owner."""
        sent = await self.admin.http.post(f"/orders/{await self.create_paid_order()}/fulfilments", {})
        assert sent.status == 201, sent.body
        return str(sent.json["fulfilments"][0]["id"])

    async def create_api_key(self) -> str:
        return _id(await self.admin.http.post("/api-keys", {"name": "to be revoked", "scopes": ["order:read"]}))

    async def create_category(self) -> str:
        return _id(await self.admin.http.post("/categories", {"name": f"Lamps {new_id().hex}"}))

    async def create_tax_rate(self) -> str:
        return _id(await self.admin.http.post("/tax-rates", tax_rate_body()))

    async def create_coupon(self) -> str:
        return _id(await self.admin.http.post("/coupons", coupon_body()))

    async def create_gift_card(self) -> str:
        return _id(await self.admin.http.post("/gift-cards", gift_card_body()))

    async def create_shipping_zone(self) -> str:
        return _id(await self.admin.http.post("/shipping-zones", await self.shipping_zone_body()))

    async def shipping_zone_body(self) -> dict[str, Any]:
        """A zone that no other test ships to. A zone for all other places exists, where shipping is free."""
        free = {"price": {"amount": 0, "currency": "USD"}}
        methods = [{"code": "standard", "name": "Standard", "prices": [free]}]
        elsewhere = await self.admin.http.post(
            "/shipping-zones", {"name": "Everywhere", "places": [{}], "methods": methods}
        )
        assert elsewhere.status in (201, 409), elsewhere.body
        return {"name": "Ice", "places": [{"country": "AQ", "postal_prefix": new_id().hex[-16:]}], "methods": methods}

    async def create_price_list(self) -> str:
        return _id(await self.admin.http.post("/price-lists", {"name": "Summer sale"}))

    async def create_price(self) -> dict[str, str]:
        """The ids of a new product and of a price of it, by the names of path parameters."""
        product = await self.new_product()
        price = {"sku": product.variants[0].sku, "price": {"amount": 900, "currency": "USD"}, "min_quantity": 10}
        return {
            "id": str(product.id),
            "price_id": _id(await self.admin.http.post(f"/products/{product.id}/prices", price)),
        }

    async def create_product_image(self) -> dict[str, str]:
        """The ids of a new product and of its image, by the names of path parameters."""
        product_id = await self.create_product()
        sent = {"Content-Type": FORM_CONTENT_TYPE}
        response = await self.admin.http.post(f"/products/{product_id}/images", data=image_form(), headers=sent)
        return {"id": product_id, "image_id": _id(response)}

    async def buy_product(self, buyer: RegisteredCustomer) -> str:
        """A product that the buyer has paid."""
        product = await self.new_product(stock=100)
        line = {"sku": product.variants[0].sku, "quantity": 1}
        placed = await buyer.http.post("/orders", {"items": [line], "shipping_address": ADDRESS})
        await self._create_payment(buyer.http, _id(placed), "sim_ok", "captured")

        async def is_paid() -> bool:
            return bool((await buyer.http.get(f"/orders/{_id(placed)}")).json["status"] == "paid")

        await eventually(is_paid)
        return str(product.id)

    async def create_review(self) -> str:
        """A review by the owner."""
        product_id = await self.buy_product(self.owner)
        return _id(await self.owner.http.post(f"/products/{product_id}/reviews", {"rating": 5}))

    async def start_import(self) -> str:
        sent = {"Content-Type": "text/csv"}
        return _id(await self.admin.http.post("/products/import", data=b"Handle,Title,Variant Price\n", headers=sent))


def _id(response: HttpResponse) -> str:
    assert response.status in {200, 201, 202}, response.body
    return str(response.json["id"])


async def place_guest_order(http: HttpClient, sku: str, **more: Any) -> GuestOrder:
    email = f"{new_id().hex}@example.com"
    body = {"items": [{"sku": sku, "quantity": 1}], "shipping_address": ADDRESS, "email": email, **more}
    placed = await http.post("/orders", body)
    assert placed.status == 201, placed.body
    return GuestOrder(placed.json["id"], placed.json["access_token"])


async def create_admin(operator: RpcCaller, http: HttpClient) -> RegisteredCustomer:
    email = f"boss-{new_id().hex}@example.com"
    await operator(user.MAKE_ADMIN, {"email": email, "password": PASSWORD})
    response = await http.post("/auth/login", {"email": email, "password": PASSWORD})
    assert response.status == 200, response.body
    return RegisteredCustomer(
        http.with_token(response.json["access_token"]), response.json["user"], email, PASSWORD, response.json
    )


async def create_api_keys(access_admin: HttpClient) -> ApiKeys:
    async def made(*scopes: ApiKeyScope) -> str:
        response = await access_admin.post("/api-keys", {"name": "a machine of tests", "scopes": scopes})
        assert response.status == 201, response.body
        return str(response.json["key"])

    return ApiKeys(
        {scope: await made(scope) for scope in ApiKeyScope},
        {scope: await made(*set(ApiKeyScope) - {scope}) for scope in ApiKeyScope},
        await made(*ApiKeyScope),
    )


def image_form() -> bytes:
    """A form with an image, as bytes: a request that is refused early is then not still being written."""
    content = io.BytesIO()
    Image.new("RGB", (200, 100), "orange").save(content, "PNG")
    head = b'--part\r\nContent-Disposition: form-data; name="image"; filename="lamp.png"\r\n\r\n'
    return head + content.getvalue() + b"\r\n--part--\r\n"
