"""The token of a guest's order: how it is derived, and when it is checked."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from contracts.failure import NotFound
from contracts.order import OrderRef
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request
from services.order.deps import OrderDeps
from services.order.domain.access import OrderTokens
from services.order.handlers.guest_order_access import caller_of
from tests.support.rpc import customer_identity

TOKENS = OrderTokens("a secret of tests")


def _deps() -> OrderDeps:
    """Without a database: what needs one fails."""
    return cast("OrderDeps", SimpleNamespace(order_tokens=TOKENS))


def test_token_has_256_bits_of_its_order_and_secret() -> None:
    order_id = new_id()
    token = TOKENS.token_of(order_id)
    assert len(token) == 43
    assert token == TOKENS.token_of(order_id) != TOKENS.token_of(new_id())
    assert token != OrderTokens("another secret of tests").token_of(order_id)
    assert TOKENS.opens(order_id, token)


@pytest.mark.parametrize("change", [lambda _: "", lambda token: token[:-1], lambda token: token + "=", str.lower])
def test_only_the_exact_token_opens(change: Any) -> None:
    order_id = new_id()
    assert not TOKENS.opens(order_id, change(TOKENS.token_of(order_id)))
    assert not TOKENS.opens(order_id, "caf\u00e9")


def test_wrong_token_is_refused_before_the_order_is_read() -> None:
    """So the time of the response does not tell whether the order exists."""
    order_id = new_id()
    for token in ("", "a" * 43, TOKENS.token_of(new_id())):
        with pytest.raises(NotFound):
            caller_of(_deps(), Request(OrderRef(id=order_id), order_token=token), order_id)


def test_signed_in_caller_keeps_their_identity_with_any_token() -> None:
    order_id, identity = new_id(), customer_identity()
    for token, has_token in (("", False), ("a" * 43, False), (TOKENS.token_of(order_id), True)):
        caller = caller_of(_deps(), Request(OrderRef(id=order_id), identity, order_token=token), order_id)
        assert (caller.identity, caller.has_token) == (identity, has_token)


def test_token_is_in_no_representation() -> None:
    assert "a-secret" not in repr(Request(OrderRef(id=new_id()), order_token="a-secret"))
