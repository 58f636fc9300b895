"""Payments of a guest's order: the order service decides about the token that the guest sends."""

from collections.abc import Callable
from typing import Any

import pytest

from contracts import payment as contract
from contracts.failure import NotFound
from infra.foundation.ids import new_id
from tests.services.payment.conftest import PaymentHarness

TOKEN = "a" * 43


async def test_order_is_asked_even_about_a_payment_that_does_not_exist(harness: PaymentHarness) -> None:
    """So the time of the response does not tell whether the payment exists."""
    _, payment = await harness.captured()
    for payment_id in (payment.id, new_id()):
        count = len(harness.orders.requested_ids)
        with pytest.raises(NotFound):
            await harness.rpc(contract.GET, {"id": str(payment_id)}, order_token=TOKEN)
        assert len(harness.orders.requested_ids) > count


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (contract.GET, lambda payment: {"id": str(payment.id)}),
        (contract.CREATE, lambda payment: {"order_id": str(payment.order_id), "payment_method": "sim_ok"}),
        (contract.LIST, lambda payment: {"order_id": str(payment.order_id)}),
        (contract.LIST, lambda _: {}),
        (contract.CONFIRM, lambda payment: {"id": str(payment.id), "client_secret": payment.client_secret}),
    ],
    ids=["get", "create", "list of an order", "list", "confirm"],
)
async def test_a_token_that_order_does_not_confirm_opens_nothing(
    harness: PaymentHarness, operation: Any, body: Callable[[Any], dict[str, Any]]
) -> None:
    placed = harness.order(None)
    payment = await harness.pay(placed, "sim_action")
    assert payment.client_secret
    with pytest.raises(NotFound):
        await harness.rpc(operation, body(payment), order_token=TOKEN)
