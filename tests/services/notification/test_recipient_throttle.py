"""Mails to addresses that were never confirmed: how many are sent, and that links in names are not."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from contracts import order, user
from contracts.failure import Fail, Unavailable
from contracts.notification import NotificationKind
from contracts.order import GuestContact
from contracts.user import ContactList, IssuedEmailToken, KnownContact
from infra.foundation.ids import new_id, now
from infra.ops.devstack.mail_files import list_mails
from infra.ops.devstack.stack import Stack
from services.notification.domain.deliveries import MailDelivery
from services.notification.domain.mails_to_unconfirmed_addresses import UnconfirmedMailLimits, recipient_digest
from services.notification.mail.recipient_throttle import RecipientThrottle
from services.notification.mail.recipients import Recipient, RecipientLookup
from services.notification.store import deliveries
from services.notification.workers.mail_sender import MailSender
from tests.services.notification.conftest import Addressee, MailQueue
from tests.services.notification.sample_mails import mail_delivery
from tests.services.notification.smtp_server import MailServer
from tests.support.rpc import RpcCaller

LIMITS = UnconfirmedMailLimits(per_hour=2, per_day=3, digest_key=b"key")
GUEST = Recipient("guest@example.com", "Ada Lovelace", "Ada")
CONFIRMED = Recipient("guest@example.com", "Ada Lovelace", "Ada", is_confirmed=True)
THROTTLED = ("suppressed", "too many mails to an address that was never confirmed")


class KnownRecipient(RecipientLookup):
    """A lookup that finds the same recipient for every mail."""

    def __init__(self, recipient: Recipient) -> None:
        self.recipient = recipient

    async def find_all(self, deliveries: Sequence[MailDelivery]) -> dict[UUID, Recipient | Fail | None]:
        return dict.fromkeys((delivery.id for delivery in deliveries), self.recipient)


class KnownContacts:
    """The replies of user and order, for one recipient with a name of a stranger's choice."""

    def __init__(self, first_name: str, last_name: str = "Lovelace") -> None:
        self.first_name = first_name
        self.last_name = last_name

    async def request(self, operation: Any, body: Any) -> Any:
        account: dict[str, Any] = {
            "email": "guest@example.com",
            "first_name": self.first_name,
            "last_name": self.last_name,
        }
        replies: Mapping[Any, Any] = {
            order.GUEST: lambda: GuestContact(email="guest@example.com", name=f"{self.first_name} {self.last_name}"),
            user.CONTACTS: lambda: ContactList(
                items=[KnownContact(user_id=user_id, **account, email_verified=True) for user_id in body.user_ids]
            ),
            user.PROOF: lambda: IssuedEmailToken(**account, token=SecretStr("secret"), expires_at=now()),
        }
        return replies[operation]()


async def find_one(lookup: RecipientLookup, delivery: MailDelivery) -> Recipient:
    recipient = (await lookup.find_all([delivery]))[delivery.id]
    assert isinstance(recipient, Recipient)
    return recipient


def sender_to(queue: MailQueue, server: MailServer, recipient: Recipient, **more: Any) -> MailSender:
    sender = queue.sender(server, limits=more.pop("limits", LIMITS), **more)
    sender.recipients = KnownRecipient(recipient)
    return sender


async def statuses(queue: MailQueue, ids: list[UUID]) -> list[tuple[str, str | None]]:
    return [(row["status"], row["reason"]) for row in [await queue.row(one) for one in ids]]


async def age_counts(queue: MailQueue, interval: str) -> None:
    async with queue.db.connection() as connection:
        await connection.execute(f"UPDATE unconfirmed_mail SET counted_at = counted_at - interval '{interval}'")  # noqa: S608


async def test_mails_to_an_unconfirmed_address_are_limited(mail_queue: MailQueue, mail_server: MailServer) -> None:
    ids = [await mail_queue.enqueue(None) for _ in range(5)]
    sender = sender_to(mail_queue, mail_server, GUEST)
    await sender.send_batch()
    assert await statuses(mail_queue, ids) == [("sent", None)] * 2 + [THROTTLED] * 3
    assert len(mail_server.mails) == 2
    assert sender.abuse_counter is not None
    assert sender.abuse_counter.labels(NotificationKind.ORDER_PAID, "throttled")._value.get() == 3


async def test_the_limits_are_per_hour_and_per_day(mail_queue: MailQueue, mail_server: MailServer) -> None:
    sender = sender_to(mail_queue, mail_server, GUEST)
    found = []
    for waited in ("0 hours", "61 minutes", "61 minutes", "24 hours"):
        await age_counts(mail_queue, waited)
        ids = [await mail_queue.enqueue(None) for _ in range(3)]
        await sender.send_batch()
        found.append([status for status, _ in await statuses(mail_queue, ids)].count("sent"))
    assert found == [2, 1, 0, 2]


async def test_a_confirmed_address_has_no_limit(mail_queue: MailQueue, mail_server: MailServer) -> None:
    ids = [await mail_queue.enqueue(new_id()) for _ in range(5)]
    await sender_to(mail_queue, mail_server, CONFIRMED).send_batch()
    assert await statuses(mail_queue, ids) == [("sent", None)] * 5


async def test_an_order_that_was_mailed_gets_all_its_mails(mail_queue: MailQueue, mail_server: MailServer) -> None:
    order_id = new_id()
    sender = sender_to(mail_queue, mail_server, GUEST)
    first = await mail_queue.enqueue(None, NotificationKind.ORDER_PLACED, order_id=order_id)
    others = [await mail_queue.enqueue(None) for _ in range(2)]
    paid = await mail_queue.enqueue(None, NotificationKind.ORDER_PAID, order_id=order_id)
    await sender.send_batch()
    assert await statuses(mail_queue, [first, *others, paid]) == [("sent", None)] * 2 + [THROTTLED, ("sent", None)]
    await age_counts(mail_queue, "3 days")
    await RecipientThrottle(mail_queue.db, LIMITS).delete_expired()
    await sender_to(mail_queue, mail_server, GUEST).send_batch()
    busy = [await mail_queue.enqueue(None) for _ in range(3)]
    shipped = await mail_queue.enqueue(None, NotificationKind.ORDER_SHIPPED, order_id=order_id)
    await sender.send_batch()
    assert await statuses(mail_queue, [*busy, shipped]) == [("sent", None)] * 2 + [THROTTLED, ("sent", None)]


async def test_a_guest_gets_every_mail_about_several_orders(mail_queue: MailQueue, mail_server: MailServer) -> None:
    """Further mails about an order leave the allowance for other orders."""
    kinds = (NotificationKind.ORDER_PLACED, NotificationKind.ORDER_PAID, NotificationKind.ORDER_SHIPPED)
    sender = sender_to(mail_queue, mail_server, GUEST, limits=UnconfirmedMailLimits(per_hour=3, per_day=3))
    order_ids = [new_id() for _ in range(3)]
    ids = [await mail_queue.enqueue(None, kind, order_id=order_id) for order_id in order_ids for kind in kinds]
    await sender.send_batch()
    assert await statuses(mail_queue, ids) == [("sent", None)] * 9
    one_more = await mail_queue.enqueue(None)
    await sender.send_batch()
    assert await statuses(mail_queue, [one_more]) == [THROTTLED]


async def test_mails_about_accounts_and_orders_count_apart(mail_queue: MailQueue) -> None:
    throttle = RecipientThrottle(mail_queue.db, LIMITS)
    for _ in range(2):
        stored = await mail_queue.enqueue(None)
        assert not await throttle.refused([(_with_id(mail_delivery(), stored), GUEST)])
    refused, token_mail = await mail_queue.enqueue(None), await mail_queue.enqueue(None)
    mails = [
        (_with_id(mail_delivery(), refused), GUEST),
        (_with_id(mail_delivery(NotificationKind.VERIFY_EMAIL), token_mail), GUEST),
    ]
    assert await throttle.refused(mails) == {refused}


def _with_id(delivery: Any, delivery_id: UUID) -> Any:
    return type(delivery)(**{name: getattr(delivery, name) for name in delivery.__slots__} | {"id": delivery_id})


async def test_a_mail_that_is_tried_again_is_counted_once(mail_queue: MailQueue, mail_server: MailServer) -> None:
    mail_server.data_replies.append("451 4.7.1 greylisted")
    deferred = await mail_queue.enqueue(None)
    sender = sender_to(mail_queue, mail_server, GUEST)
    await sender.send_batch()
    other, refused = await mail_queue.enqueue(None), await mail_queue.enqueue(None)
    await sender.send_batch()
    await mail_queue.make_due(deferred)
    await sender.send_batch()
    assert await statuses(mail_queue, [deferred, other, refused]) == [("sent", None), ("sent", None), THROTTLED]


async def test_two_processes_share_the_count(mail_queue: MailQueue, mail_server: MailServer) -> None:
    ids = [await mail_queue.enqueue(None) for _ in range(30)]
    senders = [sender_to(mail_queue, mail_server, GUEST, connections=2, rate_per_second=10.0) for _ in range(3)]
    await asyncio.gather(*(sender.send_batch() for sender in senders))
    assert [status for status, _ in await statuses(mail_queue, ids)].count("sent") == 2
    assert len(mail_server.mails) == 2


@pytest.mark.parametrize("email", ["GUEST@example.com", "guest+1@example.com", "g.u.e.s.t@EXAMPLE.com"])
def test_spellings_of_one_mailbox_share_the_count(email: str) -> None:
    assert recipient_digest(email, b"key") == recipient_digest("guest@example.com", b"key")


@pytest.mark.parametrize("email", ["gues@example.com", "guest@example.org", "+guest@example.com"])
def test_other_mailboxes_have_a_count_of_their_own(email: str) -> None:
    assert recipient_digest(email, b"key") != recipient_digest("guest@example.com", b"key")
    assert b"guest" not in recipient_digest(email, b"key")


async def test_counts_end_with_the_erasure_and_after_a_day(mail_queue: MailQueue, mail_server: MailServer) -> None:
    order_id, user_id = new_id(), new_id()
    await mail_queue.enqueue(None, order_id=order_id)
    await mail_queue.enqueue(user_id)
    await sender_to(mail_queue, mail_server, GUEST).send_batch()
    assert await counted(mail_queue) == 2
    async with mail_queue.db.connection() as connection:
        await deliveries.erase_person(connection, user_id, [order_id])
    assert await counted(mail_queue) == 0
    await mail_queue.enqueue(None)
    await sender_to(mail_queue, mail_server, GUEST).send_batch()
    throttle = RecipientThrottle(mail_queue.db, LIMITS)
    await throttle.delete_expired()
    assert await counted(mail_queue) == 1
    await age_counts(mail_queue, "25 hours")
    await throttle.delete_expired()
    assert await counted(mail_queue) == 0


async def counted(queue: MailQueue) -> int:
    async with queue.db.connection() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM unconfirmed_mail"))


@pytest.mark.parametrize("name", ["http://evil.example", "evil .com", "www.evil.example/x"])
@pytest.mark.parametrize("found_by", [{"user_id": new_id()}, {}, {"kind": NotificationKind.VERIFY_EMAIL}])
async def test_a_name_with_a_link_is_not_mailed(
    mail_queue: MailQueue, mail_server: MailServer, name: str, found_by: dict[str, Any]
) -> None:
    for lookup in (KnownContacts(name), KnownContacts("Ada", name)):
        recipient = await find_one(RecipientLookup(lookup), mail_delivery(**found_by))  # type: ignore[arg-type]
        sender = sender_to(mail_queue, mail_server, recipient, limits=None)
        await mail_queue.enqueue(None)
        await sender.send_batch()
        raw = mail_server.raw_mails[-1]
        assert b"evil" not in raw
        assert b"Hello," in raw
        assert mail_server.mails[-1]["To"] == "guest@example.com"
        assert sender.abuse_counter is not None
        assert sender.abuse_counter.labels(NotificationKind.ORDER_PAID, "name_withheld")._value.get() == 1


@pytest.mark.parametrize("found_by", [{"user_id": new_id()}, {}, {"kind": NotificationKind.VERIFY_EMAIL}])
async def test_only_an_account_confirms_an_address(found_by: dict[str, Any]) -> None:
    recipient = await find_one(RecipientLookup(KnownContacts("Ada")), mail_delivery(**found_by))  # type: ignore[arg-type]
    assert recipient.is_confirmed is ("user_id" in found_by)
    assert recipient.name == "Ada Lovelace"


async def test_the_customers_of_a_batch_are_found_in_one_request(addressee: Addressee, mail_queue: MailQueue) -> None:
    requests: list[Any] = []

    class CountingRpc:
        async def request(self, operation: Any, body: Any) -> Any:
            requests.append(operation)
            return await mail_queue.recipients.rpc.request(operation, body)

    deliveries_of_one = [mail_delivery(user_id=addressee.id) for _ in range(3)]
    unknown = mail_delivery(user_id=new_id())
    found = await RecipientLookup(CountingRpc()).find_all([*deliveries_of_one, unknown])  # type: ignore[arg-type]
    assert requests == [user.CONTACTS]
    assert found.pop(unknown.id) is None
    assert {recipient.email for recipient in found.values() if isinstance(recipient, Recipient)} == {addressee.email}


async def test_a_lookup_that_fails_delays_its_mails_alone(mail_queue: MailQueue, mail_server: MailServer) -> None:
    customers = [await mail_queue.enqueue(new_id()) for _ in range(2)]
    guest = await mail_queue.enqueue(None)

    class FailingRpc(KnownContacts):
        async def request(self, operation: Any, body: Any) -> Any:
            if operation is user.CONTACTS:
                raise Unavailable
            return await super().request(operation, body)

    sender = mail_queue.sender(mail_server)
    sender.recipients = RecipientLookup(FailingRpc("Ada"))  # type: ignore[arg-type]
    await sender.send_batch()
    assert [status for status, _ in await statuses(mail_queue, [*customers, guest])] == ["queued", "queued", "sent"]
    assert (await mail_queue.row(customers[0]))["due_in"] > 3


async def test_a_new_account_is_unconfirmed_until_its_token_is_used(
    mail_queue: MailQueue,
    addressee: Addressee,
    rpc: RpcCaller,
    stack: Stack,
    eventually: Callable[..., Awaitable[Any]],
) -> None:
    delivery = mail_delivery(user_id=addressee.id)
    before = await find_one(mail_queue.recipients, delivery)
    assert not before.is_confirmed
    (mail,) = await eventually(lambda: list_mails(stack.data_dir.mail_dir, to=addressee.email))
    token = next(line.strip() for line in mail.text.splitlines() if line.startswith("  ") and "/" not in line)
    await rpc(user.VERIFY_EMAIL, {"token": token})
    after = await find_one(mail_queue.recipients, delivery)
    assert after.is_confirmed
