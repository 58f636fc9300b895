"""Reading payments: access and pages."""

import pytest

from contracts import payment as contract
from contracts.failure import InvalidCursor, NotFound, Unauthorized
from tests.services.payment.conftest import ADMIN, PaymentHarness


async def test_a_customer_reads_own_payments_alone(harness: PaymentHarness) -> None:
    placed, payment = await harness.captured()
    _, other = await harness.captured()
    assert await harness.rpc(contract.GET, {"id": str(payment.id)}, identity=placed.customer) == payment
    assert await harness.rpc(contract.GET, {"id": str(payment.id)}, identity=ADMIN) == payment
    with pytest.raises(NotFound):
        await harness.rpc(contract.GET, {"id": str(other.id)}, identity=placed.customer)
    with pytest.raises(Unauthorized):
        await harness.rpc(contract.GET, {"id": str(payment.id)})
    mine = await harness.rpc(contract.LIST, {}, identity=placed.customer)
    assert mine.items == [payment]
    theirs = await harness.rpc(contract.LIST, {"order_id": str(other.order_id)}, identity=placed.customer)
    assert theirs.items == []


async def test_pages_list_the_newest_first(harness: PaymentHarness) -> None:
    placed = harness.order(None)
    failed = [await harness.pay(placed, "sim_declined") for _ in range(5)]
    seen, after = [], None
    while True:
        page = await harness.rpc(contract.LIST, {"limit": 2, "after": after}, identity=placed.customer)
        seen += page.items
        after = page.next
        if after is None:
            break
    assert seen == failed[::-1]
    everything = await harness.rpc(contract.LIST, {"limit": 100}, identity=ADMIN)
    assert len(everything.items) > 5


@pytest.mark.parametrize("after", ["x", "e30", "WyJub3QtYW4taWQiXQ"])
async def test_a_forged_cursor_is_refused(harness: PaymentHarness, after: str) -> None:
    with pytest.raises(InvalidCursor):
        await harness.rpc(contract.LIST, {"after": after}, identity=ADMIN)
