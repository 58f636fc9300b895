"""A shop with one customer's things in it, another customer, and an administrator: who tries what on whose."""

import io
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
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
from infra.ops.devstack.mail_files import mails
from services.notification.domain.deliveries import SUBJECT_LINES
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, HttpClient, HttpResponse, RegisteredCustomer
from tests.support.rpc import RpcCaller

MAIL_TOKEN = re.compile(r"^ {2}([A-Za-z0-9_-]{43})$", re.MULTILINE)
PASSWORD = "open sesame"
FORM_CONTENT_TYPE = "multipart/form-data; boundary=part"


@dataclass(frozen=True)
class ApiKeys:
    """API keys: with one scope, with all but one, and with all there are."""

    with_scope: Mapping[ApiKeyScope, str]
    without_scope: Mapping[ApiKeyScope, str]
    all_scopes: str


@dataclass(frozen=True)
class AccessFixtures:
    """`owner` is whose things are made; `boss` is an administrator who bought nothing, and made the `keys`."""

    http: HttpClient
    owner: RegisteredCustomer
    other_customer: RegisteredCustomer
    admin: RegisteredCustomer
    mail: Path
    new_product: Callable[..., Awaitable[Product]]
    keys: ApiKeys
    user_database: asyncpg.Connection
    """The database of user, for what no route does."""

    def customer_for(self, asker: CallerKind) -> RegisteredCustomer | None:
        people = {
            CallerKind.OWNER: self.owner,
            CallerKind.OTHER_CUSTOMER: self.other_customer,
            CallerKind.ADMIN: self.admin,
        }
        return people.get(asker)

    def client_for(self, asker: CallerKind, operation: AnyOperation | None = None) -> HttpClient:
        """A machine's key has just the scope that the operation needs."""
        if asker is CallerKind.API_KEY:
            scope = operation.scope if operation is not None and AccessRule(operation).needs_scope else None
            return self.http.with_token(self.keys.with_scope[scope] if scope else self.keys.all_scopes)
        who = self.customer_for(asker)
        return who.http if who else self.http

    def key_without(self, scope: ApiKeyScope) -> HttpClient:
        return self.http.with_token(self.keys.without_scope[scope])

    async def create_sku(self) -> str:
        return (await self.new_product(stock=100)).variants[0].sku

    async def create_product(self) -> str:
        return str((await self.new_product(stock=100)).id)

    async def mailed_token(self, email: str, kind: NotificationKind) -> str:
        """The token of the newest mail of a kind to somebody."""

        def found() -> list[str]:
            sent = [mail for mail in mails(self.mail, to=email) if mail.subject == SUBJECT_LINES[kind]]
            return [token for mail in sent for token in MAIL_TOKEN.findall(mail.text)]

        tokens: list[str] = await eventually(found)
        return tokens[-1]

    async def remove_totp(self, who: RegisteredCustomer) -> None:
        """Whatever was done to the second factor before is undone."""
        await self.user_database.execute("UPDATE account SET totp = false WHERE id = $1", who.user["id"])
        await self.user_database.execute("DELETE FROM second_factor WHERE account_id = $1", who.user["id"])

    async def unconfirmed_totp_code(self, who: RegisteredCustomer) -> str:
        """Of a new authenticator."""
        await self.remove_totp(who)
        begun = await who.http.post("/users/profile/totp", {"password": who.password})
        assert begun.status == 201, begun.body
        return pyotp.TOTP(begun.json["secret"]).now()

    async def totp_code(self, who: RegisteredCustomer) -> str:
        """Of an authenticator that counts, as if none of its codes had been used yet."""
        code = await self.unconfirmed_totp_code(who)
        confirmed = await who.http.post("/users/profile/totp/confirm", {"code": code})
        assert confirmed.status == 200, confirmed.body
        await self.user_database.execute("UPDATE second_factor SET last_step = 1 WHERE account_id = $1", who.user["id"])
        return code

    async def create_address(self) -> str:
        return _id(await self.owner.http.post("/users/profile/addresses", ADDRESS))

    async def create_session(self) -> str:
        """One of the owner's, which is not the one that asks."""
        who = {"email": self.owner.email, "password": self.owner.password}
        assert (await self.http.post("/auth/login", who)).status == 200
        listed = (await self.owner.http.get("/users/profile/sessions")).json["items"]
        return next(str(one["id"]) for one in listed if not one["current"])

    async def create_cart(self) -> tuple[str, str]:
        """The owner's, by its real id, and a SKU that is in it."""
        sku = await self.create_sku()
        answered = await self.owner.http.post("/carts/mine/items", {"sku": sku, "quantity": 1})
        return _id(answered), sku

    async def create_guest_cart(self) -> str:
        return _id(await self.http.post("/carts", {}))

    async def create_order(self) -> str:
        body = {"items": [{"sku": await self.create_sku(), "quantity": 1}], "shipping_address": ADDRESS}
        return _id(await self.owner.http.post("/orders", body))

    async def create_payment(self, method: str = "sim_ok", status: str = "captured") -> dict[str, Any]:
        """A payment of an order of the owner's, once it is in that state."""
        body = {"order_id": await self.create_order(), "payment_method": method}
        made = await self.owner.http.post("/payments", body)
        assert made.status == 201, made.body

        async def settled() -> Any:
            found = (await self.owner.http.get(f"/payments/{made.json['id']}")).json
            return found if found["status"] == status else None

        payment: dict[str, Any] = await eventually(settled)
        return payment

    async def create_api_key(self) -> str:
        return _id(await self.admin.http.post("/api-keys", {"name": "to be revoked", "scopes": ["order:read"]}))

    async def create_category(self) -> str:
        return _id(await self.admin.http.post("/categories", {"name": f"Lamps {new_id().hex}"}))

    async def upload_image(self) -> str:
        path = f"/products/{await self.create_product()}/images"
        return _id(await self.admin.http.post(path, data=image_form(), headers={"Content-Type": FORM_CONTENT_TYPE}))

    async def start_import(self) -> str:
        said = {"Content-Type": "text/csv"}
        return _id(await self.admin.http.post("/products/import", data=b"Handle,Title,Variant Price\n", headers=said))


def _id(answered: HttpResponse) -> str:
    assert answered.status in {200, 201, 202}, answered.body
    return str(answered.json["id"])


async def create_admin(operator: RpcCaller, http: HttpClient) -> RegisteredCustomer:
    email = f"boss-{new_id().hex}@example.com"
    await operator(user.MAKE_ADMIN, {"email": email, "password": PASSWORD})
    answered = await http.post("/auth/login", {"email": email, "password": PASSWORD})
    assert answered.status == 200, answered.body
    return RegisteredCustomer(
        http.with_token(answered.json["access_token"]), answered.json["user"], email, PASSWORD, answered.json
    )


async def create_api_keys(boss: HttpClient) -> ApiKeys:
    async def made(*scopes: ApiKeyScope) -> str:
        answered = await boss.post("/api-keys", {"name": "a machine of tests", "scopes": scopes})
        assert answered.status == 201, answered.body
        return str(answered.json["key"])

    return ApiKeys(
        {scope: await made(scope) for scope in ApiKeyScope},
        {scope: await made(*set(ApiKeyScope) - {scope}) for scope in ApiKeyScope},
        await made(*ApiKeyScope),
    )


def image_form() -> bytes:
    """A picture, in one piece: who is refused before it is read is not still writing."""
    content = io.BytesIO()
    Image.new("RGB", (200, 100), "orange").save(content, "PNG")
    head = b'--part\r\nContent-Disposition: form-data; name="image"; filename="lamp.png"\r\n\r\n'
    return head + content.getvalue() + b"\r\n--part--\r\n"
