"""The state machine of an order, as tables: which statuses can follow, and which transitions lead there."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

from contracts.order import CancelReason, IllegalTransition, OrderStatus

PENDING, PAID, SHIPPED = OrderStatus.PENDING, OrderStatus.PAID, OrderStatus.SHIPPED
DELIVERED, CANCELLED, REFUNDED = OrderStatus.DELIVERED, OrderStatus.CANCELLED, OrderStatus.REFUNDED

NEXT_STATUSES: Mapping[OrderStatus, frozenset[OrderStatus]] = MappingProxyType(
    {
        PENDING: frozenset({PAID, CANCELLED}),
        PAID: frozenset({SHIPPED, CANCELLED, REFUNDED}),
        SHIPPED: frozenset({DELIVERED, REFUNDED}),
        DELIVERED: frozenset({REFUNDED}),
        CANCELLED: frozenset(),
        REFUNDED: frozenset(),
    }
)


@dataclass(frozen=True, slots=True)
class Transition:
    """One way to change the status, allowed from any of `sources`.

    In a status of `retry_in` the transition is too early: another event has to arrive first.
    """

    target: OrderStatus
    sources: frozenset[OrderStatus]
    reason: CancelReason | None = None
    retry_in: frozenset[OrderStatus] = frozenset()


def _cancel(reason: CancelReason, *sources: OrderStatus) -> Transition:
    return Transition(CANCELLED, frozenset(sources), reason)


CAPTURE = Transition(PAID, frozenset({PENDING}))
DECLINE = _cancel(CancelReason.PAYMENT_FAILED, PENDING)
REFUND = Transition(REFUNDED, frozenset({PAID, SHIPPED, DELIVERED}), retry_in=frozenset({PENDING}))
HOLD_LOST = _cancel(CancelReason.HOLD_LOST, PENDING, PAID)
EXPIRE_UNPAID = _cancel(CancelReason.UNPAID, PENDING)
CANCEL_AS_OWNER = _cancel(CancelReason.CUSTOMER, PENDING, PAID)
CANCEL_AS_ADMIN = _cancel(CancelReason.ADMIN, PENDING, PAID)
SHIP = Transition(SHIPPED, frozenset({PAID}))
DELIVER = Transition(DELIVERED, frozenset({SHIPPED}))

FACTS = (CAPTURE, DECLINE, REFUND, HOLD_LOST, EXPIRE_UNPAID)
"""Transitions caused by facts: one that no longer applies is ignored."""
COMMANDS = (CANCEL_AS_OWNER, CANCEL_AS_ADMIN, SHIP, DELIVER)
"""Transitions requested by people: one that does not apply is refused."""

_UPDATES: Mapping[OrderStatus, Transition] = MappingProxyType(
    {transition.target: transition for transition in (SHIP, DELIVER)}
)
_NOT_YET_SHIPPED = frozenset({PENDING, PAID})


class Decision(Enum):
    """What to do with a fact about an order in a given status."""

    APPLY = auto()
    RETRY = auto()
    IGNORE = auto()


def decide(fact: Transition, status: OrderStatus) -> Decision:
    """Decides about a fact: a late or repeated one is ignored, one that arrives too early is retried."""
    if status in fact.sources:
        return Decision.APPLY
    return Decision.RETRY if status in fact.retry_in else Decision.IGNORE


def require_allowed(command: Transition, status: OrderStatus) -> None:
    """Raises `IllegalTransition` unless the order can make this transition now."""
    if status not in command.sources:
        raise IllegalTransition(f"An order with status {status} cannot become {command.target}.")


def transition_to(status: OrderStatus) -> Transition:
    """Returns the transition that an administrator requests by naming a status."""
    if status not in _UPDATES:
        allowed = " or ".join(_UPDATES)
        raise IllegalTransition(f"The status of an order cannot be set to {status}, only to {allowed}.")
    return _UPDATES[status]


def require_payable(status: OrderStatus) -> None:
    """Raises `IllegalTransition` unless the order waits to be paid."""
    if status is not PENDING:
        raise IllegalTransition(f"An order with status {status} cannot be paid.")


def require_address_changeable(status: OrderStatus) -> None:
    """Raises `IllegalTransition` once the order was shipped or has ended."""
    if status not in _NOT_YET_SHIPPED:
        raise IllegalTransition(f"The shipping address of an order with status {status} cannot be changed.")
