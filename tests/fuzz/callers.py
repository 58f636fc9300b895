"""The callers that send generated requests: an anonymous client, a guest, a customer and an administrator."""

import secrets
from dataclasses import dataclass

from contracts import catalog, user
from edge.openapi.request_examples import REQUEST_EXAMPLES
from infra.foundation.ids import new_id
from infra.messaging import connection as messaging
from infra.ops.devstack.stack import Stack
from tests.support.http import ADDRESS, HttpClient
from tests.support.rpc import RpcCaller


@dataclass(frozen=True)
class FuzzCaller:
    """A caller; `email` is empty for one without an account. A guest has the token of one order."""

    name: str
    email: str = ""
    password: str = ""
    id: str = ""
    order_token: str = ""
    order_id: str = ""


async def create_callers(http: HttpClient, stack: Stack) -> list[FuzzCaller]:
    """Creates one of each; their passwords appear in no example."""
    email, password = f"admin-{new_id().hex}@example.com", secrets.token_urlsafe()
    async with messaging.connect(stack.nats_url, "operator", stack.nats_password("operator")) as client:
        admin = await RpcCaller(client)(user.MAKE_ADMIN, {"email": email, "password": password})
    return [FuzzCaller("anonymous"), await _customer(http), FuzzCaller("admin", email, password, str(admin.id))]


async def _customer(http: HttpClient) -> FuzzCaller:
    email, password = f"customer-{new_id().hex}@example.com", secrets.token_urlsafe()
    body = {"email": email, "password": password, "first_name": "Ada", "last_name": "Lovelace"}
    answered = await http.post("/auth/register", body)
    assert answered.status == 201, answered.body
    return FuzzCaller("customer", email, password, answered.json["user"]["id"])


async def create_guest(http: HttpClient) -> FuzzCaller:
    """A guest who has ordered the product of the examples and not paid yet."""
    items = [{"sku": REQUEST_EXAMPLES[catalog.CREATE_PRODUCT]["sku"], "quantity": 2}]
    body = {"items": items, "shipping_address": ADDRESS, "email": f"guest-{new_id().hex}@example.com"}
    answered = await http.post("/orders", body)
    assert answered.status == 201, answered.body
    return FuzzCaller("guest", order_token=answered.json["access_token"], order_id=answered.json["id"])


async def create_example_product(http: HttpClient, admin: FuzzCaller) -> None:
    """Creates the product of the document's examples, so that some orders succeed."""
    signed_in = await http.post("/auth/login", {"email": admin.email, "password": admin.password})
    lamp = {**REQUEST_EXAMPLES[catalog.CREATE_PRODUCT], "stock": 100_000}
    answered = await http.with_token(signed_in.json["access_token"]).post("/products", lamp)
    assert answered.status in {201, 409}, answered.body
