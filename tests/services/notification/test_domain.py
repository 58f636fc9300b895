"""Which events send a mail, what it says, and when it is retried."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from contracts.event import Event
from contracts.money import Money
from contracts.notification import DeliveryStatus, NotificationKind
from contracts.order import CancelReason, OrderCancelled, OrderClaimed, OrderStatus
from contracts.registry import SUBSCRIPTIONS
from infra.foundation.ids import new_id
from services.notification.domain.deliveries import MAX_ATTEMPTS, retry_later
from services.notification.domain.mails import MAIL_KINDS, OrderFacts, order_facts, subject_line, to_one_line
from tests.services.notification.sample_mails import mail_delivery


def test_every_subscribed_event_has_a_mail() -> None:
    subscribed: set[type[Event]] = set(SUBSCRIPTIONS["notification"]) - {OrderClaimed}
    assert set(MAIL_KINDS) == subscribed, "a claim changes who gets the other mails"
    assert set(MAIL_KINDS.values()) == set(NotificationKind)


@given(st.text())
def test_subject_is_one_line_of_limited_length(number: str) -> None:
    subject = subject_line(NotificationKind.ORDER_PAID, number)
    assert subject.isprintable()
    assert len(subject) <= 255


@given(st.text())
def test_one_line_has_no_line_break(text: str) -> None:
    assert len(to_one_line(text).splitlines()) <= 1


def test_stored_facts_have_no_personal_data() -> None:
    event = OrderCancelled(
        order_id=new_id(),
        number="S-7",
        user_id=new_id(),
        total=Money(amount=5, currency="USD"),
        hold_id=new_id(),
        payment_id=None,
        was=OrderStatus.PAID,
        reason=CancelReason.ADMIN,
    )
    stored = order_facts(event)
    assert OrderFacts.model_validate_json(stored).is_refunded
    assert set(orjson.loads(stored)) == {"number", "total", "reason", "was"}


def test_retries_end_after_about_a_day() -> None:
    delays: list[float] = []
    for attempts in range(MAX_ATTEMPTS):
        outcome = retry_later(mail_delivery(attempts=attempts), "451 later")
        assert outcome.attempts == attempts + 1
        delays.append(outcome.delay_seconds)
    assert outcome.status is DeliveryStatus.FAILED
    assert outcome.reason == "given up: 451 later"
    assert delays[:-1] == sorted(delays[:-1])
    assert 20 * 3600 < sum(delays) < 30 * 3600
