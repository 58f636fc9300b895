"""What notification hears and answers, as the running service does it."""

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
from infra.ops.devstack.mail_files import Mail
from tests.services.notification.conftest import Reader
from tests.services.notification.sample_mails import TRACE_ID, TRACEPARENT
from tests.support.rpc import RpcCaller

Eventually = Callable[..., Awaitable[Any]]
AsService = Callable[[str], Awaitable[RpcCaller]]
Mails = Callable[[str], list[Mail]]


def shipped(user_id: UUID | None, *, order_id: UUID | None = None, number: str = "S-42") -> OrderShipped:
    return OrderShipped(
        order_id=order_id or new_id(),
        number=number,
        user_id=user_id,
        total=Money(amount=1999, currency="USD"),
        tracking=ShipmentTracking(carrier="Caravan", number="C-1"),
    )


async def say(order: RpcCaller, event: Event, event_id: UUID | None = None) -> None:
    """Publishes an event as order does, save that the stream does not know it again."""
    said = {
        headers.MESSAGE_ID: str(new_id()),
        headers.EVENT_ID: str(event_id or new_id()),
        headers.EVENT_TYPE: event.ce_type(),
        headers.TRACEPARENT: TRACEPARENT,
        headers.REQUEST_ID: "req-7",
    }
    await order.client.jetstream().publish(
        event.subject, event.model_dump_json(by_alias=True).encode(), stream="ORDER", headers=said
    )


@pytest.fixture
async def order(as_service: AsService) -> RpcCaller:
    return await as_service("order")


async def test_an_event_becomes_a_mail(order: RpcCaller, reader: Reader, mails: Mails, eventually: Eventually) -> None:
    event = shipped(reader.id)
    await say(order, event)
    (mail,) = await eventually(lambda: mails(reader.email))
    assert mail.subject == "Your order S-42 is on its way"
    assert "C-1" in mail.text
    assert "C-1" in mail.html
    named = dict(mail.headers)
    assert named["traceparent"].split("-")[1] == TRACE_ID
    assert named["X-Request-Id"] == "req-7"


async def test_an_event_that_comes_twice_is_one_mail(
    order: RpcCaller, reader: Reader, mails: Mails, eventually: Eventually
) -> None:
    event, event_id = shipped(reader.id), new_id()
    await say(order, event, event_id)
    await say(order, event, event_id)
    await say(order, event)  # as another event: the order is told to be on its way once
    last = shipped(reader.id, number="S-43")
    await say(order, last)
    await eventually(lambda: any(mail.subject.startswith("Your order S-43") for mail in mails(reader.email)))
    assert sorted(mail.subject for mail in mails(reader.email)) == [
        "Your order S-42 is on its way",
        "Your order S-43 is on its way",
    ]


async def test_nothing_of_the_customer_is_kept(
    order: RpcCaller,
    reader: Reader,
    mails: Mails,
    eventually: Eventually,
    database: Callable[[str], Awaitable[asyncpg.Connection]],
) -> None:
    event = shipped(reader.id)
    await say(order, event)
    await eventually(lambda: mails(reader.email))
    connection = await database("notification")
    row = await connection.fetchval("SELECT delivery::text FROM delivery WHERE order_id = $1", event.order_id)
    assert "Caravan" in row
    for personal in (reader.email, "Ada", "Lovelace"):
        assert personal not in row


async def test_everybody_sees_their_own(
    order: RpcCaller,
    ask: RpcCaller,
    reader: Reader,
    admin: Identity,
    new_customer: Callable[[], Identity],
    eventually: Eventually,
) -> None:
    await say(order, shipped(reader.id))
    own = Identity(user_id=reader.id, role=Role.CUSTOMER)

    async def sent() -> Any:
        everything = (await ask(notification.LIST, identity=own)).items
        found = [one for one in everything if one.kind is not NotificationKind.VERIFY_EMAIL]
        assert [one.status for one in found] == [DeliveryStatus.SENT]
        return found[0]

    one = await eventually(sent)
    assert (one.kind, one.channel, one.subject) == (
        NotificationKind.ORDER_SHIPPED,
        NotificationChannel.EMAIL,
        "Your order S-42 is on its way",
    )
    assert one.sent_at >= one.created_at
    assert (await ask(notification.LIST, identity=new_customer())).items == []
    everybodys = await ask(notification.LIST, {"limit": 100}, identity=admin)
    assert one in everybodys.items


async def test_pages_hold_each_once_newest_first(
    order: RpcCaller, ask: RpcCaller, new_customer: Callable[[], Identity], eventually: Eventually
) -> None:
    somebody = new_customer()
    for number in range(5):
        await say(order, shipped(somebody.user_id, number=f"S-{number}"))

    async def all_there() -> bool:
        return len((await ask(notification.LIST, identity=somebody)).items) == 5

    await eventually(all_there)
    found: list[notification.Notification] = []
    after, pages = None, 0
    while pages == 0 or after:
        page = await ask(notification.LIST, {"limit": 2, "after": after}, identity=somebody)
        found, after, pages = [*found, *page.items], page.next, pages + 1
    assert pages == 3
    assert [one.subject for one in found] == [f"Your order S-{number} is on its way" for number in (4, 3, 2, 1, 0)]


async def test_a_customer_who_is_not_there_gets_no_mail(
    order: RpcCaller, ask: RpcCaller, new_customer: Callable[[], Identity], eventually: Eventually
) -> None:
    nobody = new_customer()
    await say(order, shipped(nobody.user_id))

    async def suppressed() -> bool:
        found = (await ask(notification.LIST, identity=nobody)).items
        return [(one.status, one.sent_at) for one in found] == [(DeliveryStatus.SUPPRESSED, None)]

    await eventually(suppressed)


async def test_a_list_is_refused_to_strangers_and_to_made_up_cursors(
    ask: RpcCaller, new_customer: Callable[[], Identity]
) -> None:
    with pytest.raises(Unauthorized):
        await ask(notification.LIST)
    for after in ("nonsense", "WyJub3QtYS11dWlkIl0", "W10"):
        with pytest.raises(InvalidCursor):
            await ask(notification.LIST, {"after": after}, identity=new_customer())
    for limit in (0, 101, "ten"):
        with pytest.raises(InvalidRequest):
            await ask(notification.LIST, {"limit": limit}, identity=new_customer())
