"""Those who send what is made up: nobody, a customer and an administrator, who sign in as anybody does."""

import secrets
from dataclasses import dataclass

from contracts import catalog, user
from edge.openapi.examples import EXAMPLES
from infra.foundation.ids import new_id
from infra.messaging import connection as messaging
from infra.ops.devstack.stack import Stack
from tests.support.http import Http
from tests.support.rpc import Edge


@dataclass(frozen=True)
class Caller:
    """`email` is empty for who does not sign in."""

    name: str
    email: str = ""
    password: str = ""
    id: str = ""


async def callers(http: Http, stack: Stack) -> list[Caller]:
    """One of each; whom the shop has not met before, and whose password is in no example."""
    email, password = f"admin-{new_id().hex}@example.com", secrets.token_urlsafe()
    async with messaging.connect(stack.nats_url, "operator", stack.password("operator")) as client:
        admin = await Edge(client)(user.MAKE_ADMIN, {"email": email, "password": password})
    return [Caller("anonymous"), await _customer(http), Caller("admin", email, password, str(admin.id))]


async def _customer(http: Http) -> Caller:
    email, password = f"customer-{new_id().hex}@example.com", secrets.token_urlsafe()
    body = {"email": email, "password": password, "first_name": "Ada", "last_name": "Lovelace"}
    answered = await http.post("/auth/register", body)
    assert answered.status == 201, answered.body
    return Caller("customer", email, password, answered.json["user"]["id"])


async def furnish(http: Http, admin: Caller) -> None:
    """What the examples of the document sell is on sale, so that some orders come about."""
    signed_in = await http.post("/auth/login", {"email": admin.email, "password": admin.password})
    lamp = {**EXAMPLES[catalog.CREATE_PRODUCT], "stock": 100_000}
    answered = await http.as_(signed_in.json["access_token"]).post("/products", lamp)
    assert answered.status in {201, 409}, answered.body
