"""Decisions about parcels: what may leave, and the status of the order that follows."""

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failure import NotFound
from contracts.money import Money
from contracts.order import (
    Address,
    CancelReason,
    FulfilmentExceedsOrder,
    FulfilmentState,
    IllegalTransition,
    Order,
    OrderHistoryEntry,
    OrderItem,
    OrderStatus,
    ShipmentTracking,
    SkuQuantity,
    TaxLine,
    TaxReason,
    TooManyFulfilments,
)
from services.order.domain import cancellations, events, fulfilments
from services.order.domain.orders import OrderRecord
from services.order.domain.states import NEXT_STATUSES

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TRACKING = ShipmentTracking(carrier="Royal Mail", number="RM1")


def make_order(*quantities: int, status: OrderStatus = OrderStatus.PAID) -> Order:
    """An order of so many units of each SKU, at 10.00 a unit."""
    price, nothing = Money(amount=1000, currency="USD"), Money(amount=0, currency="USD")
    items = [
        OrderItem(
            sku=f"SKU-{place}",
            product_id=uuid4(),
            name="Brass lamp",
            options={},
            quantity=quantity,
            unit_price=price,
            line_total=price.times(quantity),
            discount=nothing,
        )
        for place, quantity in enumerate(quantities)
    ]
    total = price.times(sum(quantities))
    return Order(
        id=uuid4(),
        number="S-1",
        user_id=uuid4(),
        status=status,
        items=items,
        subtotal=total,
        discount=nothing,
        shipping=nothing,
        shipping_discount=nothing,
        tax=nothing,
        total=total,
        gift_card_total=nothing,
        shipping_address=Address(name="Ada", line1="12 St James's Square", city="London", country="GB"),
        history=[OrderHistoryEntry(status=status, at=AT)],
        created_at=AT,
        updated_at=AT,
    )


def lines(**units: int) -> list[SkuQuantity]:
    return [SkuQuantity(sku=sku.replace("_", "-"), quantity=quantity) for sku, quantity in units.items()]


def send(order: Order, requested: list[SkuQuantity] | None = None, tracking: ShipmentTracking | None = None) -> Order:
    return fulfilments.add_fulfilment(order, requested, tracking, fulfilment_id=uuid4(), at=AT)


def deliver(order: Order, number: int) -> Order:
    parcel = order.fulfilments[number - 1]
    return fulfilments.update_fulfilment(order, parcel.id, None, is_delivered=True, at=AT)


def units_sent(order: Order) -> Counter[str]:
    sent = Counter[str]()
    for parcel in order.fulfilments:
        for line in parcel.items:
            sent[line.sku] += line.quantity
    return sent


def cancel(order: Order, requested: list[SkuQuantity] | None = None, *, earlier: int = 0) -> tuple[Order, int]:
    """Cancels units; returns the order and what goes back."""
    after, cancellation = cancellations.cancel_units(
        order, requested, CancelReason.CUSTOMER, earlier=earlier, cancellation_id=uuid4(), at=AT
    )
    return after, cancellation.amount.amount


STEPS = ("send", "send the rest", "deliver", "deliver all", "cancel", "cancel the rest")
steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 4)))


def take_step(order: Order, step: str, place: int) -> Order:
    units = [SkuQuantity(sku=f"SKU-{place % 3}", quantity=1 + place % 2)]
    if step == "send":
        return send(order, units)
    if step.startswith("cancel"):
        requested = units if step == "cancel" else None
        return order if cancellations.is_whole(order, requested) else cancel(order, requested)[0]
    if step == "send the rest":
        return send(order)
    if step == "deliver":
        return deliver(order, 1 + place % len(order.fulfilments)) if order.fulfilments else order
    return fulfilments.deliver_all(order, at=AT)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), steps)
def test_no_sequence_sends_a_unit_twice_and_the_status_agrees(
    quantities: list[int], taken: list[tuple[str, int]]
) -> None:
    order = make_order(*quantities)
    ordered = Counter({item.sku: item.quantity for item in order.items})
    for step, place in taken:
        before = order
        with suppress(IllegalTransition, FulfilmentExceedsOrder):
            order = take_step(order, step, place)
        sent = units_sent(order)
        expected = ordered - Counter({item.sku: item.cancelled for item in order.items})
        assert sent <= expected
        assert expected, "when nothing remains, the order is cancelled as a whole"
        state = FulfilmentState.FULL if sent == expected else FulfilmentState.PARTIAL if sent else FulfilmentState.NONE
        assert order.fulfilment is state
        statuses = [before.status, *(entry.status for entry in order.history[len(before.history) :])]
        assert all(after in NEXT_STATUSES[status] for status, after in pairwise(statuses))
        assert (order.status is OrderStatus.PAID) == (state is not FulfilmentState.FULL)
        arrived = all(parcel.status is OrderStatus.DELIVERED for parcel in order.fulfilments)
        assert (order.status is OrderStatus.DELIVERED) == (state is FulfilmentState.FULL and arrived)
        assert order.history[-1].status is order.status


def test_an_order_stays_paid_until_everything_has_left() -> None:
    order = send(make_order(3, 1), lines(SKU_0=1), TRACKING)
    assert (order.status, order.fulfilment, order.tracking) == (OrderStatus.PAID, FulfilmentState.PARTIAL, TRACKING)
    order = deliver(order, 1)
    assert order.status is OrderStatus.PAID
    order = send(order)
    assert (order.status, order.fulfilment, order.tracking) == (OrderStatus.SHIPPED, FulfilmentState.FULL, TRACKING)
    assert order.fulfilments[1].items == lines(SKU_0=2, SKU_1=1)
    assert deliver(order, 1) is order, "repeating it changes nothing"
    order = deliver(order, 2)
    assert [entry.status for entry in order.history] == [OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED]


def test_a_refusal_names_each_line_and_what_is_left() -> None:
    order = send(make_order(3, 1), lines(SKU_0=2))
    with pytest.raises(FulfilmentExceedsOrder) as refused:
        send(order, [*lines(SKU_0=1, SKU_1=1), *lines(SKU_0=1, other=1)])
    assert [(error.pointer, error.detail) for error in refused.value.errors or ()] == [
        ("/items/2/quantity", "1 units of SKU-0 have not left yet."),
        ("/items/3/quantity", "0 units of other have not left yet."),
    ]


@pytest.mark.parametrize("status", [status for status in OrderStatus if status is not OrderStatus.PAID])
def test_only_a_paid_order_leaves(status: OrderStatus) -> None:
    with pytest.raises(IllegalTransition):
        send(make_order(1, status=status))


def test_a_parcel_of_another_order_is_not_found() -> None:
    with pytest.raises(NotFound):
        fulfilments.update_fulfilment(send(make_order(1)), uuid4(), TRACKING, is_delivered=False, at=AT)


def test_the_parcels_of_an_order_stay_small_enough_for_a_message() -> None:
    order = make_order(999)
    for _ in range(fulfilments.MAX_LISTED_LINES):
        order = send(order, lines(SKU_0=1))
    with pytest.raises(TooManyFulfilments):
        send(order, lines(SKU_0=1))
    assert send(order).fulfilment is FulfilmentState.FULL, "what is left can always leave as one parcel"


def test_an_order_that_was_shipped_before_parcels_were_stored_is_one_parcel() -> None:
    order, later = make_order(2, 1), AT.replace(year=2027)
    history = [OrderHistoryEntry(status=status, at=AT) for status in (OrderStatus.PENDING, OrderStatus.PAID)]
    assert fulfilments.parcels_of_unlisted(order.id, order.items, history, None) == []
    history.append(OrderHistoryEntry(status=OrderStatus.SHIPPED, at=AT))
    (parcel,) = fulfilments.parcels_of_unlisted(order.id, order.items, history, TRACKING)
    assert (parcel.id, parcel.tracking, parcel.status) == (order.id, TRACKING, OrderStatus.SHIPPED)
    assert parcel.items == lines(SKU_0=2, SKU_1=1)
    history.append(OrderHistoryEntry(status=OrderStatus.DELIVERED, at=later))
    (parcel,) = fulfilments.parcels_of_unlisted(order.id, order.items, history, TRACKING)
    assert (parcel.status, parcel.at, parcel.delivered_at) == (OrderStatus.DELIVERED, AT, later)


def make_record(order: Order) -> OrderRecord:
    return OrderRecord(order, 4, uuid4(), None, None, OrderStatus.PAID)


def test_the_event_of_a_parcel_tells_what_is_in_it_and_what_is_left() -> None:
    order = send(send(make_order(3, 1), lines(SKU_0=1)), None, TRACKING)
    first, second = (events.shipped_event(make_record(order), number) for number in (1, 2))
    assert [(item.sku, item.quantity, item.name) for item in first.items] == [("SKU-0", 1, "Brass lamp")]
    assert (first.fulfilment_id, first.units_left, first.is_tracked) == (order.fulfilments[0].id, 3, False)
    assert [(item.sku, item.quantity) for item in second.items] == [("SKU-0", 2), ("SKU-1", 1)]
    assert (second.units_left, second.is_tracked, second.tracking) == (0, True, TRACKING)


# Cancelled units


def test_the_rest_of_an_order_is_cancelled_after_a_parcel_has_left() -> None:
    order = send(make_order(3, 1), lines(SKU_0=1))
    assert not cancellations.is_whole(order, None)
    shipped, amount = cancel(order)
    assert (shipped.status, shipped.fulfilment, amount) == (OrderStatus.SHIPPED, FulfilmentState.FULL, 3000)
    assert [item.cancelled for item in shipped.items] == [2, 1]
    delivered, _ = cancel(deliver(order, 1))
    reached = [entry.status for entry in delivered.history]
    assert reached == [OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED]


def test_what_has_left_or_was_cancelled_cannot_be_cancelled() -> None:
    order, _ = cancel(send(make_order(4), lines(SKU_0=1)), lines(SKU_0=2))
    for units in (2, 3):
        with pytest.raises(FulfilmentExceedsOrder):
            cancel(order, lines(SKU_0=units))
    with pytest.raises(FulfilmentExceedsOrder):
        send(order, lines(SKU_0=2))
    assert cancel(order, lines(SKU_0=1))[0].status is OrderStatus.SHIPPED


@pytest.mark.parametrize("status", [status for status in OrderStatus if status is not OrderStatus.PAID])
def test_a_part_of_an_order_is_cancelled_only_while_it_is_paid(status: OrderStatus) -> None:
    with pytest.raises(IllegalTransition):
        cancel(make_order(2, status=status), lines(SKU_0=1))


def test_units_are_not_cancelled_in_any_number_of_steps() -> None:
    order = send(make_order(4), lines(SKU_0=1))
    with pytest.raises(IllegalTransition):
        cancel(order, lines(SKU_0=1), earlier=cancellations.MAX_CANCELLATIONS)
    assert cancel(order, earlier=cancellations.MAX_CANCELLATIONS)[0].status is OrderStatus.SHIPPED


def test_cancelling_all_units_is_cancelling_the_order() -> None:
    order = make_order(2, 1)
    assert cancellations.is_whole(order, None)
    assert cancellations.is_whole(order, lines(SKU_1=1, SKU_0=2))
    assert not cancellations.is_whole(order, lines(SKU_0=2))
    order, _ = cancel(order, lines(SKU_0=2))
    assert cancellations.is_whole(order, lines(SKU_1=1))


def make_item(quantity: int, line_total: int, discount: int, tax: int) -> OrderItem:
    def usd(amount: int) -> Money:
        return Money(amount=amount, currency="USD")

    tax_line = TaxLine(
        name="VAT", rate_ppm=190_000, base=usd(line_total), amount=usd(tax), compound=False, reason=TaxReason.STANDARD
    )
    return OrderItem(
        sku="SKU-0",
        product_id=uuid4(),
        name="Brass lamp",
        options={},
        quantity=quantity,
        unit_price=usd(line_total // quantity),
        line_total=usd(line_total),
        discount=usd(discount),
        tax_lines=[tax_line],
    )


@given(
    quantity=st.integers(1, 12),
    line_total=st.integers(0, 10_000),
    tax=st.integers(0, 5_000),
    data=st.data(),
    tax_included=st.booleans(),
)
def test_the_refunds_of_a_line_add_up_to_what_was_paid_for_it(
    quantity: int, line_total: int, tax: int, data: st.DataObject, *, tax_included: bool
) -> None:
    """However its units are cancelled, one by one or together."""
    item = make_item(quantity, line_total, data.draw(st.integers(0, line_total)), tax)
    paid = item.line_total.amount - item.discount.amount + (0 if tax_included else tax)
    refunded = 0
    while item.cancelled < quantity:
        units = data.draw(st.integers(1, quantity - item.cancelled))
        refund = cancellations.refund_of(item, units, tax_included=tax_included)
        assert refund >= 0
        refunded += refund
        item = item.model_copy(update={"cancelled": item.cancelled + units})
    assert refunded == paid


def test_shares_of_a_line_are_cumulative() -> None:
    """8.99 for three units: 3.00, 2.99 and 3.00."""
    item, refunds = make_item(3, 899, 0, 0), []
    for cancelled in range(3):
        one = item.model_copy(update={"cancelled": cancelled})
        refunds.append(cancellations.refund_of(one, 1, tax_included=True))
    assert refunds == [300, 299, 300]
