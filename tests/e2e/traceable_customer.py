"""A person who uses every part of the shop, in words that occur nowhere else."""

import re
from dataclasses import dataclass, field
from typing import Any

import pyotp

from contracts.notification import NotificationKind
from infra.foundation.ids import new_id
from infra.ops.devstack.mail_files import list_mails
from infra.ops.devstack.stack import Stack
from services.notification.domain.mails import SUBJECT_LINES
from tests.support.eventually import eventually
from tests.support.http import HttpClient

TOKEN = re.compile(r"^ {2}([A-Za-z0-9_-]{43})$", re.MULTILINE)


@dataclass
class Person:
    """A person whose every word is unique, and who sends requests."""

    http: HttpClient
    mark: str = field(default_factory=lambda: new_id().hex[-12:])
    orders: list[str] = field(default_factory=list)
    id: str = ""
    password: str = "correct horse battery"
    secret: str = ""
    """The TOTP secret."""
    recovery_code: str = ""

    @property
    def email(self) -> str:
        return f"Zaphod.{self.mark}@Betelgeuse{self.mark}.Example.com"

    @property
    def name(self) -> dict[str, str]:
        return {"first_name": f"Zaphod{self.mark}", "last_name": f"Beeblebrox{self.mark}"}

    @property
    def phone(self) -> str:
        return f"+49 30 {int(self.mark, 16) % 10**10:010}"

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

    async def send(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """The JSON of the response, which must have that status. Every POST has an idempotency key."""
        key = f"{self.mark}-{new_id().hex}" if method == "POST" else None
        response = await self.http(method, path, body, key=key)
        assert response.status == status, response.body
        return response.json if response.body else None


async def mailed_token(stack: Stack, person: Person, kind: NotificationKind) -> str:
    """The token in the last mail of that kind."""
    subject = SUBJECT_LINES[kind]

    def found() -> list[str]:
        sent = [mail for mail in list_mails(stack.data_dir.mail_dir, to=person.email) if mail.subject == subject]
        return [token for mail in sent for token in TOKEN.findall(mail.text)]

    return str((await eventually(found))[-1])


async def open_account(stack: Stack, http: HttpClient) -> Person:
    """Registers, verifies the e-mail, resets the password, fails a login, turns on TOTP, and saves addresses."""
    person = Person(http)
    registered = await person.send(
        "POST", "/auth/register", {"email": person.email.upper(), "password": person.password, **person.name}, 201
    )
    person.id = registered["user"]["id"]
    await person.send(
        "POST", "/auth/email/verify", {"token": await mailed_token(stack, person, NotificationKind.VERIFY_EMAIL)}, 204
    )
    await person.send("POST", "/auth/password/forgot", {"email": person.email}, 202)
    person.password = "another correct horse"
    reset = {"token": await mailed_token(stack, person, NotificationKind.RESET_PASSWORD), "password": person.password}
    await person.send("POST", "/auth/password/reset", reset, 204)
    await person.send("POST", "/auth/login", {"email": person.email, "password": "wrong horse"}, 401)
    await person.send(
        "POST", "/auth/register", {"email": person.email, "password": person.password, **person.name}, 409
    )
    session = await person.send("POST", "/auth/login", {"email": person.email.lower(), "password": person.password})
    person.http = http.with_token(session["access_token"])
    person.secret = (await person.send("POST", "/users/profile/totp", {"password": person.password}, 201))["secret"]
    confirmed = await person.send("POST", "/users/profile/totp/confirm", {"code": pyotp.TOTP(person.secret).now()})
    person.recovery_code = confirmed["recovery_codes"][0]
    await person.send("PUT", "/users/profile", person.name)
    saved = await person.send("POST", "/users/profile/addresses", person.address, 201)
    await person.send("PUT", f"/users/profile/addresses/{saved['id']}", person.address)
    deleted = await person.send("POST", "/users/profile/addresses", person.address, 201)
    await person.send("DELETE", f"/users/profile/addresses/{deleted['id']}", status=204)
    return person


async def place_order(person: Person, sku: str, status: str, **fields: Any) -> str:
    body = {"items": [{"sku": sku, "quantity": 1}], "shipping_address": person.address, **fields}
    placed = await person.send("POST", "/orders", body, 201)
    person.orders.append(placed["id"])

    async def reached() -> bool:
        return bool((await person.http.get(f"/orders/{placed['id']}")).json["status"] == status)

    await eventually(reached)
    return str(placed["id"])


async def use_cart_and_orders(person: Person, sku: str, guest: HttpClient) -> None:
    """Merges a guest's cart, and places orders: paid, cancelled, declined, and as a guest."""
    await person.send("POST", "/carts", status=201)
    await person.send("POST", "/carts/mine/items", {"sku": sku, "quantity": 2})
    other = (await guest.post("/carts")).json["id"]
    await guest.post(f"/carts/{other}/items", {"sku": sku, "quantity": 1})
    await person.send("POST", "/carts/mine/merge", {"cart_id": other})
    await place_order(person, sku, "paid", payment_method="sim_ok")
    cancelled = await place_order(person, sku, "paid", payment_method="sim_ok")
    await person.send("POST", f"/orders/{cancelled}/cancel")
    await place_order(person, sku, "cancelled", payment_method="sim_declined")
    body = {"items": [{"sku": sku, "quantity": 1}], "shipping_address": person.address, "payment_method": "sim_ok"}
    placed = await guest.post("/orders", {**body, "email": person.email.lower()}, key=new_id().hex)
    assert placed.status == 201, placed.body
    person.orders.append(placed.json["id"])


async def review_product(person: Person, admin_http: HttpClient) -> None:
    """Reviews what the first order has, in words about the person, as does the shop's answer."""
    product_id = (await person.send("GET", f"/orders/{person.orders[0]}"))["items"][0]["product_id"]
    review = {"rating": 4, "title": person.mark, "body": f"Ask {person.email}."}
    written = await person.send("POST", f"/products/{product_id}/reviews", review, 201)
    for step, body in (("answer", {"answer": f"Dear {person.mark}!"}), ("reject", {"reason": f"has {person.email}"})):
        moderated = await admin_http.post(f"/reviews/{written['id']}/{step}", body, key=new_id().hex)
        assert moderated.status == 200, moderated.body


async def handle_as_admin(person: Person, admin_http: HttpClient) -> None:
    """An administrator edits the account and an order, refunds in words, and sends the goods."""
    assert (await admin_http.put(f"/users/{person.id}", person.name)).status == 200
    assert (await admin_http.post(f"/users/{person.id}/unban", key=new_id().hex)).status == 200
    first = person.orders[0]
    assert (await admin_http.put(f"/orders/{first}", {"shipping_address": person.address})).status == 200
    payment = (await person.send("GET", f"/payments?order_id={first}"))["items"][0]
    refund = {"amount": 1, "reason": f"{person.email} called"}
    assert (await admin_http.post(f"/payments/{payment['id']}/refund", refund, key=new_id().hex)).status == 200
    shipped = {"status": "shipped", "tracking": {"carrier": "Heart of Gold", "number": "SK-20391"}}
    assert (await admin_http.put(f"/orders/{first}", shipped)).status == 200


async def wait_for_mails(person: Person, stack: Stack, count: int) -> None:
    await eventually(lambda: len(list_mails(stack.data_dir.mail_dir, to=person.email)) >= count)
