"""What a customer is told, and when a mail is tried again."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.event import Event
from contracts.money import Money
from contracts.notification import DeliveryStatus, NotificationKind
from contracts.order import CancelReason, OrderCancelled, OrderStatus
from contracts.registry import SUBSCRIPTIONS
from infra.foundation.ids import new_id
from services.notification.domain.deliveries import (
    MAIL_KINDS,
    MAX_ATTEMPTS,
    order_facts,
    retry_later,
    subject_line,
    to_one_line,
)
from tests.services.notification.sample_mails import delivery


def test_every_event_that_is_heard_has_a_mail() -> None:
    heard: set[type[Event]] = set(SUBSCRIPTIONS["notification"])
    assert set(MAIL_KINDS) == heard
    assert set(MAIL_KINDS.values()) == set(NotificationKind)


@given(st.text())
def test_a_subject_is_one_line_that_a_mail_header_can_hold(number: str) -> None:
    subject = subject_line(NotificationKind.ORDER_PAID, number)
    assert subject.isprintable()
    assert len(subject) <= 255


@given(st.text())
def test_one_line_has_nothing_that_ends_a_line(text: str) -> None:
    assert len(to_one_line(text).splitlines()) <= 1


def test_what_is_kept_of_an_event_says_nothing_of_the_customer() -> None:
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
    kept = order_facts(event)
    assert kept.refunds
    assert set(kept.model_dump(exclude_none=True, exclude_defaults=True)) == {"number", "total", "reason", "was"}


def test_delays_grow_for_about_a_day_and_then_it_is_over() -> None:
    delays: list[float] = []
    for attempts in range(MAX_ATTEMPTS):
        outcome = retry_later(delivery(attempts=attempts), "451 later")
        assert outcome.attempts == attempts + 1
        delays.append(outcome.delay_seconds)
    assert outcome.status is DeliveryStatus.FAILED
    assert outcome.reason == "given up: 451 later"
    assert delays[:-1] == sorted(delays[:-1])
    assert 20 * 3600 < sum(delays) < 30 * 3600
