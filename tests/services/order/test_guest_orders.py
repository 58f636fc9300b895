"""Guests' orders: finding one again by a mailed link, and taking it over into an account."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

import asyncpg
import pytest

from contracts import notification, payment, privacy, user
from contracts import order as contract
from contracts.catalog import Product
from contracts.coupons import CouponInvalid
from contracts.failure import NotFound
from contracts.identity import Identity, Role
from contracts.model import Empty
from contracts.order import LookUpOrder, Order, OrderStatus, TooManyOrderLookups
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request
from infra.ops.devstack.mail_files import ReceivedMail
from services.order.deps import OrderDeps
from services.order.domain.order_lookup_limits import OrderLookupLimits
from services.order.handlers import guest_orders
from tests.services.order.conftest import CouponClient, OrderClient
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
Database = Callable[[str], Awaitable[asyncpg.Connection]]
AsService = Callable[[str], Awaitable[RpcCaller]]
Mails = Callable[[str], list[ReceivedMail]]
TOKEN = re.compile(r"^ {2}([A-Za-z0-9_-]{43})$", re.MULTILINE)


@pytest.fixture
def email() -> str:
    return f"{new_id().hex}@example.com"


@pytest.fixture
async def lamp(new_product: NewProduct) -> Product:
    return await new_product(stock=50)


@pytest.fixture
async def account(rpc: RpcCaller, database: Database) -> Callable[..., Awaitable[Identity]]:
    """Registers a customer."""

    async def register(email: str, *, verified: bool = True) -> Identity:
        body = {"email": email, "password": "correct horse", "first_name": "Ada", "last_name": "Lovelace"}
        session = await rpc(user.REGISTER, body)
        if verified:
            accounts = await database("user")
            await accounts.execute("UPDATE account SET email_verified = true WHERE id = $1", session.user.id)
        return Identity(user_id=session.user.id, role=Role.CUSTOMER)

    return register


async def look_up(rpc: RpcCaller, number: str, email: str) -> None:
    assert await rpc(contract.LOOK_UP, {"number": number, "email": email}) == Empty()


def lookups_of(events: EventRecorder, order: Order) -> int:
    return events.event_names(order.id).count("lookup_requested")


async def test_mailed_token_opens_the_order(
    order_client: OrderClient, rpc: RpcCaller, lamp: Product, email: str, mails: Mails, database: Database
) -> None:
    placed = await rpc(contract.PLACE, order_client.body((lamp, 1), email=email))
    await look_up(rpc, placed.number, email.upper())
    subject = f"Your order {placed.number}"
    mail = await eventually(lambda: next((one for one in mails(email) if one.subject == subject), None))
    assert mail is not None
    assert TOKEN.findall(mail.text) == [placed.access_token], "the token is derived anew; the first one stays valid"
    read = await rpc(contract.GET, {"id": str(placed.id)}, order_token=placed.access_token)
    assert read.id == placed.id
    stored = await (await database("notification")).fetch(
        "SELECT delivery::text FROM delivery WHERE facts ->> 'order_id' = $1", str(placed.id)
    )
    assert len(stored) == 1
    assert not any(secret in stored[0]["delivery"] for secret in (placed.access_token, email))


async def test_only_a_guest_with_the_right_email_gets_a_mail(
    order_client: OrderClient,
    rpc: RpcCaller,
    lamp: Product,
    email: str,
    account: Callable[..., Awaitable[Identity]],
    events: EventRecorder,
) -> None:
    """Every request gets the same reply. The queue keeps its order: when the last mail is requested, the others
    were looked up.
    """
    first, last = [await order_client.place(None, (lamp, 1), email=email) for _ in range(2)]
    customer = await account(email)
    customers = await order_client.place(customer, (lamp, 1))
    claimed = await order_client.place(None, (lamp, 1), email=email)
    await rpc(contract.CLAIM, {"id": str(claimed.id)}, identity=customer)
    for number, address in (
        (first.number, f"other-{email}"),
        (customers.number, email),
        (claimed.number, email),
        (f"{first.number}0", email),
        ("S-6180339966", email),
        ("", email),
        (last.number, email),
    ):
        await look_up(rpc, number, address)
    await events.wait_for(last.id, "lookup_requested")
    assert [lookups_of(events, order) for order in (first, customers, claimed, last)] == [0, 0, 0, 1]


def limited(deps: OrderDeps, per_address: int, per_email: int) -> OrderDeps:
    return replace(deps, order_lookup_limits=OrderLookupLimits(per_address, per_email, 3600, str(new_id())))


async def test_lookups_from_one_address_are_limited(deps: OrderDeps, email: str) -> None:
    """Whether or not there is such an order."""
    limited_deps = limited(deps, 2, 0)
    body = LookUpOrder(number="S-6180339966", email=email)
    for _ in range(2):
        await guest_orders.look_up(limited_deps, Request(body, client_ip="192.0.2.1"))
    with pytest.raises(TooManyOrderLookups) as refused:
        await guest_orders.look_up(limited_deps, Request(body, client_ip="192.0.2.1"))
    assert 0 < (refused.value.retry_after or 0) <= 1800
    await guest_orders.look_up(limited_deps, Request(body, client_ip="192.0.2.2"))


async def test_mails_to_one_mailbox_are_limited_silently(
    deps: OrderDeps, order_client: OrderClient, rpc: RpcCaller, lamp: Product, email: str, events: EventRecorder
) -> None:
    limited_deps = limited(deps, 0, 1)
    order = await order_client.place(None, (lamp, 1), email=email)
    other = await order_client.place(None, (lamp, 1), email=f"other-{email}")
    for sent in (email, email.replace("@", "+tag@"), email):
        reply = await guest_orders.look_up(limited_deps, Request(LookUpOrder(number=order.number, email=sent)))
        assert reply.content == Empty()
    await look_up(rpc, other.number, f"other-{email}")
    await events.wait_for(other.id, "lookup_requested")
    await events.wait_for(order.id, "lookup_requested")
    assert lookups_of(events, order) == 1


async def test_claimed_order_is_the_customers_everywhere(
    order_client: OrderClient,
    rpc: RpcCaller,
    lamp: Product,
    email: str,
    account: Callable[..., Awaitable[Identity]],
    events: EventRecorder,
    as_service: AsService,
) -> None:
    """With its payment and its mails; the guest's token ends."""
    placed = await rpc(contract.PLACE, order_client.body((lamp, 1), email=email.upper(), payment_method="sim_ok"))
    await order_client.wait_for_status(placed.id, OrderStatus.PAID)
    customer, ref = await account(email), {"id": str(placed.id)}
    claimed = await rpc(contract.CLAIM, ref, identity=customer, key=str(new_id()))
    assert claimed.user_id == customer.user_id
    assert [order.id for order in (await rpc(contract.LIST, identity=customer)).items] == [placed.id]
    with pytest.raises(NotFound):
        await rpc(contract.GET, ref, order_token=placed.access_token)
    assert (await events.wait_for(placed.id, "claimed")).event.user_id == customer.user_id  # type: ignore[attr-defined]
    assert await rpc(contract.CLAIM, ref, identity=customer) == claimed, "a repeat changes nothing"
    assert events.event_names(placed.id).count("claimed") == 1

    async def followed() -> bool:
        paid = (await rpc(payment.LIST, identity=customer)).items
        subjects = {one.subject for one in (await rpc(notification.LIST, identity=customer)).items}
        return [one.order_id for one in paid] == [placed.id] and any(placed.number in one for one in subjects)

    await eventually(followed)
    as_user = await as_service("user")
    for user_id, found in ((customer.user_id, [placed.id]), (new_id(), [])):
        body = {"emails": [email], "user_id": str(user_id)}
        assert (await as_user(privacy.GUEST_ORDERS, body)).order_ids == found


async def test_claim_is_refused_alike_whatever_is_wrong(
    order_client: OrderClient,
    rpc: RpcCaller,
    lamp: Product,
    email: str,
    account: Callable[..., Awaitable[Identity]],
    admin: Identity,
    database: Database,
) -> None:
    order = await order_client.place(None, (lamp, 1), email=email)
    unverified, other = await account(email, verified=False), await account(f"other-{email}")
    theirs = await order_client.place(other, (lamp, 1))
    erased = await order_client.place(None, (lamp, 1), email=f"other-{email}")
    await (await database("order")).execute("UPDATE orders SET email = NULL WHERE id = $1", erased.id)
    refusals = set()
    for identity, order_id in (
        (unverified, order.id),
        (unverified, theirs.id),
        (other, order.id),
        (other, erased.id),
        (other, new_id()),
        (admin, order.id),
    ):
        with pytest.raises(NotFound) as refused:
            await rpc(contract.CLAIM, {"id": str(order_id)}, identity=identity)
        refusals.add(str(refused.value))
    assert len(refusals) == 1
    assert (await order_client.read(order.id)).user_id is None


async def test_order_that_was_claimed_before_it_was_paid_tells_its_customer_again(
    order_client: OrderClient,
    rpc: RpcCaller,
    lamp: Product,
    email: str,
    account: Callable[..., Awaitable[Identity]],
    events: EventRecorder,
) -> None:
    """A payment that was opened for the guest at the same moment becomes the customer's."""
    order, customer = await order_client.place(None, (lamp, 1), email=email), await account(email)
    await rpc(contract.CLAIM, {"id": str(order.id)}, identity=customer)
    await rpc(contract.CANCEL, {"id": str(order.id)}, identity=customer)
    await events.wait_for(order.id, "cancelled")

    def is_complete() -> bool:
        return events.event_names(order.id) == ["placed", "claimed", "cancelled", "claimed"]

    await eventually(is_complete)


async def test_use_of_a_coupon_becomes_the_customers(
    order_client: OrderClient,
    rpc: RpcCaller,
    lamp: Product,
    email: str,
    account: Callable[..., Awaitable[Identity]],
    coupons: CouponClient,
) -> None:
    coupon = await coupons.create(max_uses_per_user=1)
    order = await order_client.place(None, (lamp, 1), email=email, coupon=coupon.code)
    customer = await account(email)
    await rpc(contract.CLAIM, {"id": str(order.id)}, identity=customer)
    with pytest.raises(CouponInvalid):
        await order_client.place(customer, (lamp, 1), coupon=coupon.code)
