"""The state machine of an order, as tables: where it can go, and what takes it there."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

from contracts.order import CancelReason, IllegalTransition, OrderStatus

PENDING, PAID, SHIPPED = OrderStatus.PENDING, OrderStatus.PAID, OrderStatus.SHIPPED
DELIVERED, CANCELLED, REFUNDED = OrderStatus.DELIVERED, OrderStatus.CANCELLED, OrderStatus.REFUNDED

TRANSITIONS: Mapping[OrderStatus, frozenset[OrderStatus]] = MappingProxyType(
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
class Step:
    """One way an order moves on: from one of `sources`. In `waits` something else has to be heard first."""

    target: OrderStatus
    sources: frozenset[OrderStatus]
    reason: CancelReason | None = None
    waits: frozenset[OrderStatus] = frozenset()


def _cancel(reason: CancelReason, *sources: OrderStatus) -> Step:
    return Step(CANCELLED, frozenset(sources), reason)


CAPTURE = Step(PAID, frozenset({PENDING}))
DECLINE = _cancel(CancelReason.PAYMENT_FAILED, PENDING)
REFUND = Step(REFUNDED, frozenset({PAID, SHIPPED, DELIVERED}), waits=frozenset({PENDING}))
LOSE_HOLD = _cancel(CancelReason.HOLD_LOST, PENDING, PAID)
GIVE_UP = _cancel(CancelReason.UNPAID, PENDING)
CANCEL_AS_OWNER = _cancel(CancelReason.CUSTOMER, PENDING, PAID)
CANCEL_AS_ADMIN = _cancel(CancelReason.ADMIN, PENDING, PAID)
SHIP = Step(SHIPPED, frozenset({PAID}))
DELIVER = Step(DELIVERED, frozenset({SHIPPED}))

FACTS = (CAPTURE, DECLINE, REFUND, LOSE_HOLD, GIVE_UP)
"""What happens to an order; where it does not apply any more it passes."""
COMMANDS = (CANCEL_AS_OWNER, CANCEL_AS_ADMIN, SHIP, DELIVER)
"""What somebody wants; where it does not apply it is refused."""

_UPDATES: Mapping[OrderStatus, Step] = MappingProxyType({step.target: step for step in (SHIP, DELIVER)})
_STILL_HERE = frozenset({PENDING, PAID})


class Verdict(Enum):
    """What becomes of a fact in a status."""

    MOVE = auto()
    WAIT = auto()
    PASS = auto()


def verdict(fact: Step, status: OrderStatus) -> Verdict:
    """A fact heard late or again passes; one heard too early waits."""
    if status in fact.sources:
        return Verdict.MOVE
    return Verdict.WAIT if status in fact.waits else Verdict.PASS


def require(command: Step, status: OrderStatus) -> None:
    if status not in command.sources:
        raise IllegalTransition(f"an order that is {status} cannot become {command.target}")


def update_to(status: OrderStatus) -> Step:
    """The step that an administrator takes by naming a status."""
    if status not in _UPDATES:
        raise IllegalTransition(f"an order is not set to {status}")
    return _UPDATES[status]


def require_payable(status: OrderStatus) -> None:
    if status is not PENDING:
        raise IllegalTransition(f"an order that is {status} is not paid")


def require_still_here(status: OrderStatus) -> None:
    if status not in _STILL_HERE:
        raise IllegalTransition(f"the address of an order that is {status} does not change")
