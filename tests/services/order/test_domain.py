"""Decisions about orders: state machine, numbers, prices, access, events."""

from dataclasses import replace
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
    TaxSettings,
)
from contracts.payment import CardNumberRefused
from services.order.domain import access, events, orders, states
from services.order.domain.access import OrderCaller
from services.order.domain.applicable_taxes import TaxTable
from services.order.domain.order_numbers import format_order_number, parse_order_number
from services.order.domain.orders import Buyer, OrderRecord
from services.order.domain.pricing import PricingRules
from services.order.domain.shipping import ShippingTable
from services.order.domain.states import COMMANDS, FACTS, NEXT_STATUSES, Decision, Transition, decide
from tests.support.http import ADDRESS

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FINAL_STATUSES = {OrderStatus.CANCELLED, OrderStatus.REFUNDED}

transitions = st.sampled_from([*FACTS, *COMMANDS])


def apply(status: OrderStatus, transition: Transition) -> OrderStatus:
    return transition.target if decide(transition, status) is Decision.APPLY else status


def final_status(history: list[Transition]) -> OrderStatus:
    """The status of an order after these events. One that has to be retried is delivered again after each later one."""
    status, waiting = OrderStatus.PENDING, list[Transition]()
    for transition in history:
        waiting.append(transition)
        while ready := [candidate for candidate in waiting if decide(candidate, status) is not Decision.RETRY]:
            waiting.remove(ready[-1])
            status = apply(status, ready[-1])
    return status


def test_every_transition_is_allowed_by_the_state_machine() -> None:
    for transition in (*FACTS, *COMMANDS):
        assert transition.sources
        for source in transition.sources:
            assert transition.target in NEXT_STATUSES[source]


def test_every_allowed_change_has_a_transition() -> None:
    taken = {(source, transition.target) for transition in (*FACTS, *COMMANDS) for source in transition.sources}
    assert taken == {(source, target) for source, targets in NEXT_STATUSES.items() for target in targets}


@given(st.lists(transitions, max_size=30))
def test_no_history_leaves_the_state_machine(history: list[Transition]) -> None:
    status = OrderStatus.PENDING
    for transition in history:
        reached = apply(status, transition)
        assert reached == status or reached in NEXT_STATUSES[status]
        assert status not in FINAL_STATUSES or reached == status
        status = reached


@given(st.lists(transitions, max_size=12), st.data())
def test_a_redelivered_fact_changes_nothing(history: list[Transition], data: st.DataObject) -> None:
    twice = list(history)
    for transition in history:
        if transition in FACTS and data.draw(st.booleans()):
            first = twice.index(transition)
            twice.insert(data.draw(st.integers(first + 1, len(twice))), transition)
    assert final_status(twice) == final_status(history)


def test_a_refund_counts_in_any_order_of_events() -> None:
    for order in permutations([states.CAPTURE, states.REFUND]):
        assert final_status(list(order)) is OrderStatus.REFUNDED


def test_the_first_event_of_two_payments_decides() -> None:
    assert final_status([states.CAPTURE, states.DECLINE]) is OrderStatus.PAID
    assert final_status([states.DECLINE, states.CAPTURE]) is OrderStatus.CANCELLED


def test_a_lost_hold_cancels_pending_and_paid_but_not_shipped_orders() -> None:
    assert final_status([states.HOLD_LOST]) is OrderStatus.CANCELLED
    assert final_status([states.CAPTURE, states.HOLD_LOST]) is OrderStatus.CANCELLED
    assert final_status([states.CAPTURE, states.SHIP, states.HOLD_LOST]) is OrderStatus.SHIPPED


def test_a_cancelled_order_stays_cancelled() -> None:
    assert final_status([states.CAPTURE, states.CANCEL_AS_OWNER, states.REFUND]) is OrderStatus.CANCELLED
    assert final_status([states.EXPIRE_UNPAID, states.CAPTURE]) is OrderStatus.CANCELLED


@pytest.mark.parametrize("status", list(OrderStatus))
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_refused_in_any_other_status(command: Transition, status: OrderStatus) -> None:
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


def test_the_address_can_change_until_shipping() -> None:
    for status in OrderStatus:
        if status in (OrderStatus.PENDING, OrderStatus.PAID):
            states.require_address_changeable(status)
            continue
        with pytest.raises(IllegalTransition):
            states.require_address_changeable(status)


# Numbers


@given(st.integers(1, 10**12))
def test_a_number_identifies_one_order(serial: int) -> None:
    assert parse_order_number(format_order_number(serial)) == serial


@given(st.integers(1, 10**9), st.data())
def test_a_mistyped_number_identifies_none(serial: int, data: st.DataObject) -> None:
    number = format_order_number(serial)
    place = data.draw(st.integers(2, len(number) - 1))
    other = data.draw(st.sampled_from("0123456789".replace(number[place], "")))
    assert parse_order_number(number[:place] + other + number[place + 1 :]) is None


@pytest.mark.parametrize("number", ["", "S-", "S-abc", "S-١٢٣", "S-" + "1" * 40, "1\n"])
def test_an_invalid_number_identifies_none(number: str) -> None:
    assert parse_order_number(number) is None


# Prices


NO_RULES = PricingRules(1, TaxSettings(), TaxTable([]), ShippingTable([]))


def make_hold(*lines: tuple[int, int]) -> Hold:
    """Builds a hold from lines of (quantity, unit price)."""
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


def make_request(**more: Any) -> PlaceOrder:
    body = {"items": [{"sku": "SKU-0", "quantity": 1}], "shipping_address": ADDRESS, **more}
    return PlaceOrder.model_validate(body)


def make_draft(hold: Hold, **more: Any) -> orders.OrderDraft:
    buyer = Buyer(uuid4(), None)
    return orders.draft_order(make_request(**more), buyer, hold, None, NO_RULES, order_id=uuid4(), at=AT)


@given(st.lists(st.tuples(st.integers(1, 999), st.integers(0, 10_000_000)), min_size=1, max_size=8))
def test_the_total_is_the_sum_of_the_lines(lines: list[tuple[int, int]]) -> None:
    order = make_draft(make_hold(*lines)).order
    assert order.total.amount == sum(quantity * price for quantity, price in lines)
    assert order.total.amount == (
        order.subtotal.amount - order.discount.amount + order.shipping.amount + order.tax.amount
    )
    assert [item.line_total.amount for item in order.items] == [quantity * price for quantity, price in lines]


def test_a_line_of_an_older_hold_is_shipped_and_taxed_as_usual() -> None:
    hold = make_hold((2, 1000))
    added = {"tax_category", "requires_shipping", "weight_grams"}
    older = Hold.model_validate_json(hold.model_dump_json(exclude={"lines": {"__all__": added}}))
    assert older == hold
    order = make_draft(older).order
    assert (order.shipping_method, order.total.amount) == ("standard", 2000)


def test_a_total_above_the_largest_amount_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        make_draft(make_hold((999, 10**11)))


# Access


def make_identity(role: Role = Role.CUSTOMER, user_id: UUID | None = None) -> Identity:
    return Identity(user_id=user_id or uuid4(), role=role)


def make_record(status: OrderStatus = OrderStatus.PENDING, **more: Any) -> OrderRecord:
    drafted = make_draft(make_hold((1, 1999)))
    order = drafted.order.model_copy(update={"status": status, "number": format_order_number(1), **more})
    return OrderRecord(order, 3, drafted.hold.hold_id, drafted.cart, None, OrderStatus.PENDING)


def test_a_customer_is_identified_by_the_account() -> None:
    identity = make_identity()
    assert orders.resolve_buyer(identity, make_request(email="other@example.com")) == Buyer(identity.user_id, None)


def test_a_guest_is_identified_by_email_and_has_no_own_cart() -> None:
    assert orders.resolve_buyer(None, make_request(email="guest@example.com")) == Buyer(None, "guest@example.com")
    with pytest.raises(EmailRequired):
        orders.resolve_buyer(None, make_request())
    with pytest.raises(InvalidRequest):
        orders.resolve_buyer(None, make_request(email="josé@example.com"))
    mailable = orders.resolve_buyer(None, make_request(email="josé@example.com"), smtp_utf8=True)
    assert mailable == Buyer(None, "josé@example.com")
    with pytest.raises(Unauthorized):
        orders.resolve_buyer(None, make_request(items=None, cart_id="mine", email="guest@example.com"))


def test_only_the_owner_and_administrators_have_access() -> None:
    record = make_record()
    owner, admin = make_identity(user_id=record.order.user_id), make_identity(Role.ADMIN)
    for has_token in (False, True):
        for require in (access.require_access, access.require_owner):
            assert require(record, OrderCaller(owner, has_token)) is record
        assert access.require_access(record, OrderCaller(admin, has_token)) is record
        for found, identity in ((record, make_identity()), (record, None), (None, admin), (None, None)):
            with pytest.raises(NotFound):
                access.require_access(found, OrderCaller(identity, has_token))
        with pytest.raises(NotFound):
            access.require_owner(record, OrderCaller(admin, has_token))


def test_only_the_token_opens_an_order_without_a_customer() -> None:
    """Nothing that is missing on both sides makes a caller the owner."""
    customer_order = make_record()
    record = replace(
        customer_order, order=customer_order.order.model_copy(update={"user_id": None}), email="ada@example.com"
    )
    for require in (access.require_access, access.require_owner):
        assert require(record, OrderCaller(None, has_token=True)) is record
        assert require(record, OrderCaller(make_identity(), has_token=True)) is record
        for caller in (OrderCaller(None, has_token=False), OrderCaller(make_identity(), has_token=False)):
            with pytest.raises(NotFound):
                require(record, caller)
        with pytest.raises(NotFound):
            require(replace(record, email=None), OrderCaller(None, has_token=True))


def test_an_outdated_version_is_refused() -> None:
    orders.require_version(make_record(), None)
    orders.require_version(make_record(), frozenset({3}))
    with pytest.raises(PreconditionFailed):
        orders.require_version(make_record(), frozenset({2, 4}))


def test_an_order_of_the_same_cart_is_revealed_to_its_buyer_alone() -> None:
    record = make_record()
    assert orders.require_same_buyer(record, Buyer(record.order.user_id, None)) is record
    for buyer in (Buyer(uuid4(), None), Buyer(None, "guest@example.com")):
        with pytest.raises(CartChanged):
            orders.require_same_buyer(record, buyer)


def test_a_card_number_is_not_a_payment_method() -> None:
    orders.reject_card_number(None)
    orders.reject_card_number("sim_ok")
    with pytest.raises(CardNumberRefused):
        orders.reject_card_number("4242 4242 4242 4242")


# Events


def test_placed_carries_the_items_and_whether_to_charge() -> None:
    drafted = make_draft(make_hold((2, 1999)), payment_method="sim_ok")
    event = events.placed_event(drafted, drafted.order)
    assert event.charge
    assert event.hold_id == drafted.hold.hold_id
    assert [(item.sku, item.quantity) for item in event.items] == [("SKU-0", 2)]
    assert "sim_ok" not in event.model_dump_json()
    assert "Lovelace" not in event.model_dump_json()


def test_paid_carries_the_payment() -> None:
    record = make_record(OrderStatus.PAID, payment_id=uuid4())
    event = events.transition_event(states.CAPTURE, record)
    assert isinstance(event, OrderPaid)
    assert (event.payment_id, event.hold_id) == (record.order.payment_id, record.hold_id)


@pytest.mark.parametrize(
    "transition", [transition for transition in (*FACTS, *COMMANDS) if transition.target is OrderStatus.CANCELLED]
)
def test_cancelled_carries_the_reason_and_the_previous_status(transition: Transition) -> None:
    event = events.transition_event(transition, make_record(OrderStatus.CANCELLED))
    assert isinstance(event, OrderCancelled)
    assert (event.reason, event.was) == (transition.reason, OrderStatus.PENDING)


@pytest.mark.parametrize(
    "transition", [transition for transition in (*FACTS, *COMMANDS) if transition is not states.SHIP]
)
def test_every_transition_publishes_the_event_of_its_status(transition: Transition) -> None:
    """A shipped order publishes one event for each parcel instead."""
    record = make_record(transition.target, payment_id=uuid4())
    assert events.transition_event(transition, record).name == transition.target


def test_claimed_order_tells_its_customer_again_once_no_payment_can_be_opened() -> None:
    claimed = replace(make_record(OrderStatus.CANCELLED), email="ada@example.com")
    published = events.transition_events(states.EXPIRE_UNPAID, claimed)
    assert [event.name for event in published] == ["cancelled", "claimed"]
    later = replace(claimed, previous_status=OrderStatus.PAID)
    assert len(events.transition_events(states.HOLD_LOST, later)) == 1
    assert len(events.transition_events(states.EXPIRE_UNPAID, make_record(OrderStatus.CANCELLED))) == 1
    pending = replace(make_record(), email="ada@example.com")
    assert [event.name for event in events.past_events(pending, charge=False)] == ["placed", "claimed"]
