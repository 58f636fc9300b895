"""Who may read which payments, and page by page."""

import pytest

from contracts import payment as contract
from contracts.failure import InvalidCursor, NotFound, Unauthorized
from tests.services.payment.conftest import ADMIN, PaymentHarness


async def test_ones_own_and_nobody_elses(till: PaymentHarness) -> None:
    placed, payment = await till.captured()
    _, other = await till.captured()
    assert await till.ask(contract.GET, {"id": str(payment.id)}, identity=placed.customer) == payment
    assert await till.ask(contract.GET, {"id": str(payment.id)}, identity=ADMIN) == payment
    with pytest.raises(NotFound):
        await till.ask(contract.GET, {"id": str(other.id)}, identity=placed.customer)
    with pytest.raises(Unauthorized):
        await till.ask(contract.GET, {"id": str(payment.id)})
    mine = await till.ask(contract.LIST, {}, identity=placed.customer)
    assert mine.items == [payment]
    theirs = await till.ask(contract.LIST, {"order_id": str(other.order_id)}, identity=placed.customer)
    assert theirs.items == []


async def test_the_newest_first_page_by_page(till: PaymentHarness) -> None:
    placed = till.order(None)
    failed = [await till.pay(placed, "sim_declined") for _ in range(5)]
    seen, after = [], None
    while True:
        page = await till.ask(contract.LIST, {"limit": 2, "after": after}, identity=placed.customer)
        seen += page.items
        after = page.next
        if after is None:
            break
    assert seen == failed[::-1]
    everything = await till.ask(contract.LIST, {"limit": 100}, identity=ADMIN)
    assert len(everything.items) > 5


@pytest.mark.parametrize("after", ["x", "e30", "WyJub3QtYW4taWQiXQ"])
async def test_a_cursor_of_ones_own_making_is_refused(till: PaymentHarness, after: str) -> None:
    with pytest.raises(InvalidCursor):
        await till.ask(contract.LIST, {"after": after}, identity=ADMIN)
