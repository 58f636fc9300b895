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
from contracts.access import Asker, Row
from contracts.catalog import Product
from contracts.identity import Scope
from contracts.notification import Kind
from contracts.operation import AnyOperation
from infra.foundation.ids import new_id
from infra.ops.devstack.mail_files import mails
from services.notification.domain.deliveries import SUBJECTS
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, Answered, Customer, Http
from tests.support.rpc import Edge

TOKEN = re.compile(r"^ {2}([A-Za-z0-9_-]{43})$", re.MULTILINE)
PASSWORD = "open sesame"
FORM = "multipart/form-data; boundary=part"


@dataclass(frozen=True)
class Keys:
    """API keys: with one scope, with all but one, and with all there are."""

    having: Mapping[Scope, str]
    lacking: Mapping[Scope, str]
    everything: str


@dataclass(frozen=True)
class World:
    """`owner` is whose things are made; `boss` is an administrator who bought nothing, and made the `keys`."""

    http: Http
    owner: Customer
    another: Customer
    boss: Customer
    mail: Path
    new_product: Callable[..., Awaitable[Product]]
    keys: Keys
    accounts: asyncpg.Connection
    """The database of user, for what no route does."""

    def by(self, asker: Asker) -> Customer | None:
        people = {Asker.OWNER: self.owner, Asker.ANOTHER: self.another, Asker.ADMIN: self.boss}
        return people.get(asker)

    def client(self, asker: Asker, operation: AnyOperation | None = None) -> Http:
        """A machine's key has just the scope that the operation needs."""
        if asker is Asker.KEY:
            scope = operation.scope if operation is not None and Row(operation).needs_scope else None
            return self.http.as_(self.keys.having[scope] if scope else self.keys.everything)
        who = self.by(asker)
        return who.http if who else self.http

    def key_without(self, scope: Scope) -> Http:
        return self.http.as_(self.keys.lacking[scope])

    async def sku(self) -> str:
        return (await self.new_product(stock=100)).variants[0].sku

    async def product(self) -> str:
        return str((await self.new_product(stock=100)).id)

    async def mailed(self, email: str, kind: Kind) -> str:
        """The token of the newest mail of a kind to somebody."""

        def found() -> list[str]:
            sent = [mail for mail in mails(self.mail, to=email) if mail.subject == SUBJECTS[kind]]
            return [token for mail in sent for token in TOKEN.findall(mail.text)]

        tokens: list[str] = await eventually(found)
        return tokens[-1]

    async def without_totp(self, who: Customer) -> None:
        """Whatever was done to the second factor before is undone."""
        await self.accounts.execute("UPDATE account SET totp = false WHERE id = $1", who.user["id"])
        await self.accounts.execute("DELETE FROM second_factor WHERE account_id = $1", who.user["id"])

    async def code_to_confirm(self, who: Customer) -> str:
        """Of a new authenticator."""
        await self.without_totp(who)
        begun = await who.http.post("/users/profile/totp", {"password": who.password})
        assert begun.status == 201, begun.body
        return pyotp.TOTP(begun.json["secret"]).now()

    async def code(self, who: Customer) -> str:
        """Of an authenticator that counts, as if none of its codes had been used yet."""
        code = await self.code_to_confirm(who)
        confirmed = await who.http.post("/users/profile/totp/confirm", {"code": code})
        assert confirmed.status == 200, confirmed.body
        await self.accounts.execute("UPDATE second_factor SET last_step = 1 WHERE account_id = $1", who.user["id"])
        return code

    async def address(self) -> str:
        return _id(await self.owner.http.post("/users/profile/addresses", ADDRESS))

    async def session(self) -> str:
        """One of the owner's, which is not the one that asks."""
        who = {"email": self.owner.email, "password": self.owner.password}
        assert (await self.http.post("/auth/login", who)).status == 200
        listed = (await self.owner.http.get("/users/profile/sessions")).json["items"]
        return next(str(one["id"]) for one in listed if not one["current"])

    async def cart(self) -> tuple[str, str]:
        """The owner's, by its real id, and a SKU that is in it."""
        sku = await self.sku()
        answered = await self.owner.http.post("/carts/mine/items", {"sku": sku, "quantity": 1})
        return _id(answered), sku

    async def guest_cart(self) -> str:
        return _id(await self.http.post("/carts", {}))

    async def order(self) -> str:
        body = {"items": [{"sku": await self.sku(), "quantity": 1}], "shipping_address": ADDRESS}
        return _id(await self.owner.http.post("/orders", body))

    async def payment(self, method: str = "sim_ok", status: str = "captured") -> dict[str, Any]:
        """A payment of an order of the owner's, once it is in that state."""
        body = {"order_id": await self.order(), "payment_method": method}
        made = await self.owner.http.post("/payments", body)
        assert made.status == 201, made.body

        async def settled() -> Any:
            found = (await self.owner.http.get(f"/payments/{made.json['id']}")).json
            return found if found["status"] == status else None

        payment: dict[str, Any] = await eventually(settled)
        return payment

    async def api_key(self) -> str:
        return _id(await self.boss.http.post("/api-keys", {"name": "to be revoked", "scopes": ["order:read"]}))

    async def category(self) -> str:
        return _id(await self.boss.http.post("/categories", {"name": f"Lamps {new_id().hex}"}))

    async def image(self) -> str:
        path = f"/products/{await self.product()}/images"
        return _id(await self.boss.http.post(path, data=a_form(), headers={"Content-Type": FORM}))

    async def import_job(self) -> str:
        said = {"Content-Type": "text/csv"}
        return _id(await self.boss.http.post("/products/import", data=b"Handle,Title,Variant Price\n", headers=said))


def _id(answered: Answered) -> str:
    assert answered.status in {200, 201, 202}, answered.body
    return str(answered.json["id"])


async def new_boss(operator: Edge, http: Http) -> Customer:
    email = f"boss-{new_id().hex}@example.com"
    await operator(user.MAKE_ADMIN, {"email": email, "password": PASSWORD})
    answered = await http.post("/auth/login", {"email": email, "password": PASSWORD})
    assert answered.status == 200, answered.body
    return Customer(http.as_(answered.json["access_token"]), answered.json["user"], email, PASSWORD, answered.json)


async def new_keys(boss: Http) -> Keys:
    async def made(*scopes: Scope) -> str:
        answered = await boss.post("/api-keys", {"name": "a machine of tests", "scopes": scopes})
        assert answered.status == 201, answered.body
        return str(answered.json["key"])

    return Keys(
        {scope: await made(scope) for scope in Scope},
        {scope: await made(*set(Scope) - {scope}) for scope in Scope},
        await made(*Scope),
    )


def a_form() -> bytes:
    """A picture, in one piece: who is refused before it is read is not still writing."""
    content = io.BytesIO()
    Image.new("RGB", (200, 100), "orange").save(content, "PNG")
    head = b'--part\r\nContent-Disposition: form-data; name="image"; filename="lamp.png"\r\n\r\n'
    return head + content.getvalue() + b"\r\n--part--\r\n"
