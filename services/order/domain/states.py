"""The state machine of an order, as tables: where it can go, and what takes it there."""

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
    """One way an order moves on: from one of `sources`. In `waits` something else has to be heard first."""

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
"""What happens to an order; where it does not apply any more it passes."""
COMMANDS = (CANCEL_AS_OWNER, CANCEL_AS_ADMIN, SHIP, DELIVER)
"""What somebody wants; where it does not apply it is refused."""

_UPDATES: Mapping[OrderStatus, Transition] = MappingProxyType({step.target: step for step in (SHIP, DELIVER)})
_STILL_HERE = frozenset({PENDING, PAID})


class Decision(Enum):
    """What becomes of a fact in a status."""

    APPLY = auto()
    RETRY = auto()
    IGNORE = auto()


def decide(fact: Transition, status: OrderStatus) -> Decision:
    """A fact heard late or again passes; one heard too early waits."""
    if status in fact.sources:
        return Decision.APPLY
    return Decision.RETRY if status in fact.retry_in else Decision.IGNORE


def require_allowed(command: Transition, status: OrderStatus) -> None:
    if status not in command.sources:
        raise IllegalTransition(f"an order that is {status} cannot become {command.target}")


def transition_to(status: OrderStatus) -> Transition:
    """The step that an administrator takes by naming a status."""
    if status not in _UPDATES:
        raise IllegalTransition(f"an order is not set to {status}")
    return _UPDATES[status]


def require_payable(status: OrderStatus) -> None:
    if status is not PENDING:
        raise IllegalTransition(f"an order that is {status} is not paid")


def require_address_changeable(status: OrderStatus) -> None:
    if status not in _STILL_HERE:
        raise IllegalTransition(f"the address of an order that is {status} does not change")
