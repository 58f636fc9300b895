"""Decisions about orders: the state machine, what one costs, its number."""

from datetime import UTC, datetime
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.cart import CartChanged
from contracts.catalog import HeldLine, Hold
from contracts.failure import InvalidRequest, NotFound, PreconditionFailed, Unauthorized
from contracts.identity import Identity, Role
from contracts.money import Money
from contracts.order import (
    EmailRequired,
    IllegalTransition,
    OrderCancelled,
    OrderPaid,
    OrderStatus,
    PlaceOrder,
    ShipmentTracking,
)
from contracts.payment import CardNumberRefused
from services.order.domain import events as told
from services.order.domain import orders, states
from services.order.domain import pricing as prices
from services.order.domain.order_numbers import format_order_number, parse_order_number
from services.order.domain.orders import Buyer, OrderRecord
from services.order.domain.states import COMMANDS, FACTS, NEXT_STATUSES, Decision, Transition, decide
from tests.support.http import ADDRESS

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ENDS = {OrderStatus.CANCELLED, OrderStatus.REFUNDED}

steps = st.sampled_from([*FACTS, *COMMANDS])


def after(status: OrderStatus, step: Transition) -> OrderStatus:
    return step.target if decide(step, status) is Decision.APPLY else status


def heard(history: list[Transition]) -> OrderStatus:
    """Where an order ends up that hears this. What waits comes again after everything else that is heard."""
    status, waiting = OrderStatus.PENDING, list[Transition]()
    for step in history:
        waiting.append(step)
        while ready := [one for one in waiting if decide(one, status) is not Decision.RETRY]:
            waiting.remove(ready[-1])
            status = after(status, ready[-1])
    return status


def test_every_step_stays_in_the_state_machine() -> None:
    for step in (*FACTS, *COMMANDS):
        assert step.sources
        for source in step.sources:
            assert step.target in NEXT_STATUSES[source]


def test_every_transition_has_a_step_that_takes_it() -> None:
    taken = {(source, step.target) for step in (*FACTS, *COMMANDS) for source in step.sources}
    assert taken == {(source, target) for source, targets in NEXT_STATUSES.items() for target in targets}


@given(st.lists(steps, max_size=30))
def test_whatever_happens_an_order_never_leaves_the_machine(history: list[Transition]) -> None:
    status = OrderStatus.PENDING
    for step in history:
        reached = after(status, step)
        assert reached == status or reached in NEXT_STATUSES[status]
        assert status not in ENDS or reached == status
        status = reached


@given(st.lists(steps, max_size=12), st.data())
def test_a_fact_heard_again_changes_nothing(history: list[Transition], data: st.DataObject) -> None:
    twice = list(history)
    for step in history:
        if step in FACTS and data.draw(st.booleans()):
            first = twice.index(step)
            twice.insert(data.draw(st.integers(first + 1, len(twice))), step)
    assert heard(twice) == heard(history)


def test_money_that_went_back_is_seen_in_whatever_order_it_is_heard() -> None:
    for order in permutations([states.CAPTURE, states.REFUND]):
        assert heard(list(order)) is OrderStatus.REFUNDED


def test_of_two_payments_the_one_heard_first_decides() -> None:
    assert heard([states.CAPTURE, states.DECLINE]) is OrderStatus.PAID
    assert heard([states.DECLINE, states.CAPTURE]) is OrderStatus.CANCELLED


def test_a_hold_is_lost_from_pending_and_paid_but_not_once_shipped() -> None:
    assert heard([states.HOLD_LOST]) is OrderStatus.CANCELLED
    assert heard([states.CAPTURE, states.HOLD_LOST]) is OrderStatus.CANCELLED
    assert heard([states.CAPTURE, states.SHIP, states.HOLD_LOST]) is OrderStatus.SHIPPED


def test_a_cancelled_order_stays_cancelled() -> None:
    assert heard([states.CAPTURE, states.CANCEL_AS_OWNER, states.REFUND]) is OrderStatus.CANCELLED
    assert heard([states.EXPIRE_UNPAID, states.CAPTURE]) is OrderStatus.CANCELLED


@pytest.mark.parametrize("status", list(OrderStatus))
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_refused_where_it_cannot_be(command: Transition, status: OrderStatus) -> None:
    if status in command.sources:
        states.require_allowed(command, status)
        return
    with pytest.raises(IllegalTransition, match=str(status)):
        states.require_allowed(command, status)


def test_only_shipped_and_delivered_can_be_set() -> None:
    assert states.transition_to(OrderStatus.SHIPPED) is states.SHIP
    assert states.transition_to(OrderStatus.DELIVERED) is states.DELIVER
    for status in set(OrderStatus) - {OrderStatus.SHIPPED, OrderStatus.DELIVERED}:
        with pytest.raises(IllegalTransition):
            states.transition_to(status)


def test_the_address_changes_until_the_goods_leave() -> None:
    for status in OrderStatus:
        if status in (OrderStatus.PENDING, OrderStatus.PAID):
            states.require_address_changeable(status)
            continue
        with pytest.raises(IllegalTransition):
            states.require_address_changeable(status)


# Numbers


@given(st.integers(1, 10**12))
def test_a_number_names_one_order(serial: int) -> None:
    assert parse_order_number(format_order_number(serial)) == serial


@given(st.integers(1, 10**9), st.data())
def test_a_mistyped_number_names_none(serial: int, data: st.DataObject) -> None:
    number = format_order_number(serial)
    place = data.draw(st.integers(2, len(number) - 1))
    other = data.draw(st.sampled_from("0123456789".replace(number[place], "")))
    assert parse_order_number(number[:place] + other + number[place + 1 :]) is None


@pytest.mark.parametrize("number", ["", "S-", "S-abc", "S-١٢٣", "S-" + "1" * 40, "1\n"])
def test_what_is_no_number_names_none(number: str) -> None:
    assert parse_order_number(number) is None


# What an order costs


def a_hold(*lines: tuple[int, int]) -> Hold:
    """Of lines of so many units at such a price."""
    held = [
        HeldLine(
            sku=f"SKU-{place}",
            product_id=uuid4(),
            name="Brass lamp",
            options={"Size": "L"},
            quantity=quantity,
            unit_price=Money(amount=price, currency="USD"),
        )
        for place, (quantity, price) in enumerate(lines)
    ]
    return Hold(hold_id=uuid4(), lines=held, currency="USD", expires_at=AT)


def a_request(**more: Any) -> PlaceOrder:
    body = {"items": [{"sku": "SKU-0", "quantity": 1}], "shipping_address": ADDRESS, **more}
    return PlaceOrder.model_validate(body)


def a_draft(hold: Hold, **more: Any) -> orders.OrderDraft:
    return orders.draft_order(a_request(**more), Buyer(uuid4(), None), hold, None, order_id=uuid4(), at=AT)


@given(st.lists(st.tuples(st.integers(1, 999), st.integers(0, 10_000_000)), min_size=1, max_size=8))
def test_an_order_costs_what_its_lines_cost(lines: list[tuple[int, int]]) -> None:
    order = a_draft(a_hold(*lines)).order
    assert order.total.amount == sum(quantity * price for quantity, price in lines)
    assert order.total.amount == (
        order.subtotal.amount - order.discount.amount + order.shipping.amount + order.tax.amount
    )
    assert [item.line_total.amount for item in order.items] == [quantity * price for quantity, price in lines]


def test_an_order_worth_more_than_money_can_say_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        a_draft(a_hold((999, 10**11)))


def test_tax_is_by_the_country(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "TAX", {"GB": 200})
    monkeypatch.setattr(prices, "SHIPPING", dict.fromkeys(prices.SHIPPING, 495))
    order = a_draft(a_hold((2, 1999))).order
    assert (order.tax.amount, order.shipping.amount, order.total.amount) == (799, 495, 3998 + 799 + 495)


# Whose it is


def an_identity(role: Role = Role.CUSTOMER, user_id: UUID | None = None) -> Identity:
    return Identity(user_id=user_id or uuid4(), role=role)


def a_kept(status: OrderStatus = OrderStatus.PENDING, **more: Any) -> OrderRecord:
    drafted = a_draft(a_hold((1, 1999)))
    order = drafted.order.model_copy(update={"status": status, "number": format_order_number(1), **more})
    return OrderRecord(order, 3, drafted.hold.hold_id, None, OrderStatus.PENDING)


def test_a_customer_is_known_by_the_account() -> None:
    identity = an_identity()
    assert orders.resolve_buyer(identity, a_request(email="other@example.com")) == Buyer(identity.user_id, None)


def test_a_guest_is_known_by_an_email_and_has_no_own_cart() -> None:
    assert orders.resolve_buyer(None, a_request(email="guest@example.com")) == Buyer(None, "guest@example.com")
    with pytest.raises(EmailRequired):
        orders.resolve_buyer(None, a_request())
    with pytest.raises(Unauthorized):
        orders.resolve_buyer(None, a_request(items=None, cart_id="mine", email="guest@example.com"))


def test_an_order_is_its_owners_and_every_administrators() -> None:
    kept = a_kept()
    assert orders.require_access(kept, an_identity(user_id=kept.order.user_id)) is kept
    assert orders.require_access(kept, an_identity(Role.ADMIN)) is kept
    for found, who in ((kept, an_identity()), (None, an_identity(Role.ADMIN))):
        with pytest.raises(NotFound):
            orders.require_access(found, who)


def test_a_version_that_is_not_current_is_refused() -> None:
    orders.require_version(a_kept(), None)
    orders.require_version(a_kept(), 3)
    with pytest.raises(PreconditionFailed):
        orders.require_version(a_kept(), 2)


def test_an_order_from_the_same_cart_is_told_to_its_buyer_alone() -> None:
    kept = a_kept()
    assert orders.require_same_buyer(kept, Buyer(kept.order.user_id, None)) is kept
    for buyer in (Buyer(uuid4(), None), Buyer(None, "guest@example.com")):
        with pytest.raises(CartChanged):
            orders.require_same_buyer(kept, buyer)


def test_a_card_number_is_no_payment_method() -> None:
    orders.reject_card_number(None)
    orders.reject_card_number("sim_ok")
    with pytest.raises(CardNumberRefused):
        orders.reject_card_number("4242 4242 4242 4242")


# What is said


def test_placed_says_what_is_bought_and_whether_to_charge() -> None:
    drafted = a_draft(a_hold((2, 1999)), payment_method="sim_ok")
    event = told.placed_event(drafted, drafted.order)
    assert event.charge
    assert event.hold_id == drafted.hold.hold_id
    assert [(item.sku, item.quantity) for item in event.items] == [("SKU-0", 2)]
    assert "sim_ok" not in event.model_dump_json()
    assert "Lovelace" not in event.model_dump_json()


def test_paid_says_by_which_payment() -> None:
    kept = a_kept(OrderStatus.PAID, payment_id=uuid4())
    event = told.transition_event(states.CAPTURE, kept)
    assert isinstance(event, OrderPaid)
    assert (event.payment_id, event.hold_id) == (kept.order.payment_id, kept.hold_id)


@pytest.mark.parametrize("step", [step for step in (*FACTS, *COMMANDS) if step.target is OrderStatus.CANCELLED])
def test_cancelled_says_why_and_what_it_was(step: Transition) -> None:
    event = told.transition_event(step, a_kept(OrderStatus.CANCELLED))
    assert isinstance(event, OrderCancelled)
    assert (event.reason, event.was) == (step.reason, OrderStatus.PENDING)


@pytest.mark.parametrize("step", [*FACTS, *COMMANDS])
def test_every_step_is_told_under_the_name_of_its_status(step: Transition) -> None:
    tracking = ShipmentTracking(carrier="Post", number="1")
    kept = a_kept(step.target, payment_id=uuid4(), tracking=tracking)
    assert told.transition_event(step, kept).name == step.target
