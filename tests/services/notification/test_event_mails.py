"""Events and operations of the running notification service."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from contracts import headers, notification
from contracts.event import Event
from contracts.failure import InvalidCursor, InvalidRequest, Unauthorized
from contracts.identity import Identity, Role
from contracts.money import Money
from contracts.notification import DeliveryStatus, NotificationChannel, NotificationKind
from contracts.order import OrderShipped, ShipmentTracking
from infra.foundation.ids import new_id
from infra.ops.devstack.mail_files import ReceivedMail
from tests.services.notification.conftest import Addressee
from tests.services.notification.sample_mails import TRACE_ID, TRACEPARENT
from tests.support.rpc import RpcCaller

Eventually = Callable[..., Awaitable[Any]]
AsService = Callable[[str], Awaitable[RpcCaller]]
Mails = Callable[[str], list[ReceivedMail]]


def order_shipped(user_id: UUID | None, *, order_id: UUID | None = None, number: str = "S-42") -> OrderShipped:
    return OrderShipped(
        order_id=order_id or new_id(),
        number=number,
        user_id=user_id,
        total=Money(amount=1999, currency="USD"),
        tracking=ShipmentTracking(carrier="Caravan", number="C-1"),
    )


async def publish(order_rpc: RpcCaller, event: Event, event_id: UUID | None = None) -> None:
    """Publishes an event as order does, but under a new message id, so that the stream does not drop a repeated one."""
    message_headers = {
        headers.MESSAGE_ID: str(new_id()),
        headers.EVENT_ID: str(event_id or new_id()),
        headers.EVENT_TYPE: event.ce_type(),
        headers.TRACEPARENT: TRACEPARENT,
        headers.REQUEST_ID: "req-7",
    }
    await order_rpc.client.jetstream().publish(
        event.subject, event.model_dump_json(by_alias=True).encode(), stream="ORDER", headers=message_headers
    )


@pytest.fixture
async def order_rpc(as_service: AsService) -> RpcCaller:
    return await as_service("order")


async def test_event_sends_a_mail(
    order_rpc: RpcCaller, addressee: Addressee, mails: Mails, eventually: Eventually
) -> None:
    event = order_shipped(addressee.id)
    await publish(order_rpc, event)
    (mail,) = await eventually(lambda: mails(addressee.email))
    assert mail.subject == "Your order S-42 is on its way"
    assert "C-1" in mail.text
    assert "C-1" in mail.html
    mail_headers = dict(mail.headers)
    assert mail_headers["traceparent"].split("-")[1] == TRACE_ID
    assert mail_headers["X-Request-Id"] == "req-7"


async def test_redelivered_event_sends_one_mail(
    order_rpc: RpcCaller, addressee: Addressee, mails: Mails, eventually: Eventually
) -> None:
    event, event_id = order_shipped(addressee.id), new_id()
    await publish(order_rpc, event, event_id)
    await publish(order_rpc, event, event_id)
    await publish(order_rpc, event)  # another event about the same order: still one mail of this kind
    last = order_shipped(addressee.id, number="S-43")
    await publish(order_rpc, last)
    await eventually(lambda: any(mail.subject.startswith("Your order S-43") for mail in mails(addressee.email)))
    assert sorted(mail.subject for mail in mails(addressee.email)) == [
        "Your order S-42 is on its way",
        "Your order S-43 is on its way",
    ]


async def test_each_parcel_of_an_order_has_one_mail(
    order_rpc: RpcCaller, addressee: Addressee, mails: Mails, eventually: Eventually
) -> None:
    first = order_shipped(addressee.id).model_copy(update={"fulfilment_id": new_id(), "units_left": 1})
    second = first.model_copy(update={"fulfilment_id": new_id(), "units_left": 0})
    for event in (first, first, second):
        await publish(order_rpc, event)
    await publish(order_rpc, order_shipped(addressee.id, number="S-43"))
    await eventually(lambda: any(mail.subject.startswith("Your order S-43") for mail in mails(addressee.email)))
    about_parcels = [mail.text for mail in mails(addressee.email) if "S-42" in mail.subject]
    assert sorted("will follow in another parcel" in text for text in about_parcels) == [False, True]


async def test_an_order_that_was_mailed_as_a_whole_is_not_mailed_again_as_a_parcel(
    order_rpc: RpcCaller, addressee: Addressee, mails: Mails, eventually: Eventually
) -> None:
    """The events of an order are published again by a newer release: its parcel has the order's id."""
    event = order_shipped(addressee.id)
    await publish(order_rpc, event)
    await publish(order_rpc, event.model_copy(update={"fulfilment_id": event.order_id}))
    await publish(order_rpc, order_shipped(addressee.id, number="S-43"))
    await eventually(lambda: any(mail.subject.startswith("Your order S-43") for mail in mails(addressee.email)))
    assert [mail.subject for mail in mails(addressee.email) if "S-42" in mail.subject] == [
        "Your order S-42 is on its way"
    ]


async def test_delivery_stores_no_personal_data(
    order_rpc: RpcCaller,
    addressee: Addressee,
    mails: Mails,
    eventually: Eventually,
    database: Callable[[str], Awaitable[asyncpg.Connection]],
) -> None:
    event = order_shipped(addressee.id)
    await publish(order_rpc, event)
    await eventually(lambda: mails(addressee.email))
    connection = await database("notification")
    row = await connection.fetchval("SELECT delivery::text FROM delivery WHERE order_id = $1", event.order_id)
    assert "Caravan" in row
    for personal in (addressee.email, "Ada", "Lovelace"):
        assert personal not in row


async def test_customers_see_their_own_notifications(
    order_rpc: RpcCaller,
    rpc: RpcCaller,
    addressee: Addressee,
    admin: Identity,
    new_customer: Callable[[], Identity],
    eventually: Eventually,
) -> None:
    await publish(order_rpc, order_shipped(addressee.id))
    own = Identity(user_id=addressee.id, role=Role.CUSTOMER)

    async def sent() -> Any:
        notifications = (await rpc(notification.LIST, identity=own)).items
        found = [item for item in notifications if item.kind is not NotificationKind.VERIFY_EMAIL]
        assert [item.status for item in found] == [DeliveryStatus.SENT]
        return found[0]

    item = await eventually(sent)
    assert (item.kind, item.channel, item.subject) == (
        NotificationKind.ORDER_SHIPPED,
        NotificationChannel.EMAIL,
        "Your order S-42 is on its way",
    )
    assert item.sent_at >= item.created_at
    assert (await rpc(notification.LIST, identity=new_customer())).items == []
    all_notifications = await rpc(notification.LIST, {"limit": 100}, identity=admin)
    assert item in all_notifications.items


async def test_notifications_are_listed_newest_first_in_pages(
    order_rpc: RpcCaller, rpc: RpcCaller, new_customer: Callable[[], Identity], eventually: Eventually
) -> None:
    customer = new_customer()
    for number in range(5):
        await publish(order_rpc, order_shipped(customer.user_id, number=f"S-{number}"))

    async def all_queued() -> bool:
        return len((await rpc(notification.LIST, identity=customer)).items) == 5

    await eventually(all_queued)
    found: list[notification.Notification] = []
    after, pages = None, 0
    while pages == 0 or after:
        page = await rpc(notification.LIST, {"limit": 2, "after": after}, identity=customer)
        found, after, pages = [*found, *page.items], page.next, pages + 1
    assert pages == 3
    assert [item.subject for item in found] == [f"Your order S-{number} is on its way" for number in (4, 3, 2, 1, 0)]


async def test_mail_to_an_unknown_customer_is_suppressed(
    order_rpc: RpcCaller, rpc: RpcCaller, new_customer: Callable[[], Identity], eventually: Eventually
) -> None:
    stranger = new_customer()
    await publish(order_rpc, order_shipped(stranger.user_id))

    async def suppressed() -> bool:
        found = (await rpc(notification.LIST, identity=stranger)).items
        return [(item.status, item.sent_at) for item in found] == [(DeliveryStatus.SUPPRESSED, None)]

    await eventually(suppressed)


async def test_list_refuses_anonymous_callers_and_invalid_pages(
    rpc: RpcCaller, new_customer: Callable[[], Identity]
) -> None:
    with pytest.raises(Unauthorized):
        await rpc(notification.LIST)
    for after in ("nonsense", "WyJub3QtYS11dWlkIl0", "W10"):
        with pytest.raises(InvalidCursor):
            await rpc(notification.LIST, {"after": after}, identity=new_customer())
    for limit in (0, 101, "ten"):
        with pytest.raises(InvalidRequest):
            await rpc(notification.LIST, {"limit": limit}, identity=new_customer())
