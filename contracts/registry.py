"""Everything that can be asked and heard, gathered, and who hears what."""

from contracts import cart, catalog, notification, order, payment, privacy, user
from contracts.audit_log import trail_of
from contracts.event import Event
from contracts.health import health_of
from contracts.operation import AnyOperation
from contracts.redelivery import hear_of

SERVICES = ("user", "catalog", "cart", "order", "payment", "notification")

HEALTH = {service: health_of(service) for service in SERVICES}

HEARS: dict[str, tuple[type[Event], ...]] = {
    "user": (),
    "catalog": (order.OrderPaid, order.OrderCancelled),
    "cart": (order.OrderPlaced,),
    "order": (payment.PaymentCaptured, payment.PaymentFailed, payment.PaymentRefunded, catalog.HoldLost),
    "payment": (order.OrderPlaced, order.OrderCancelled),
    "notification": (
        order.OrderPlaced,
        order.OrderPaid,
        order.OrderCancelled,
        order.OrderShipped,
        user.VerificationRequested,
        user.ResetRequested,
    ),
}
"""Who hears what. A consumer a pair of service and stream is derived from it."""

HEAR = {service: hear_of(service) for service, heard in HEARS.items() if heard}
"""How the operator hands an event over once more."""

TRAIL = {service: trail_of(service) for service in SERVICES if service != "cart"}
"""The audit trails. cart keeps nothing that anybody but its customers and guests changes."""

OPERATIONS: tuple[AnyOperation, ...] = (
    *user.OPERATIONS,
    *catalog.OPERATIONS,
    *cart.OPERATIONS,
    *order.OPERATIONS,
    *payment.OPERATIONS,
    *notification.OPERATIONS,
    *privacy.OPERATIONS,
    *HEALTH.values(),
    *HEAR.values(),
    *TRAIL.values(),
)

EVENTS: tuple[type[Event], ...] = (*user.EVENTS, *catalog.EVENTS, *order.EVENTS, *payment.EVENTS)

BY_SUBJECT: dict[str, AnyOperation] = {operation.subject: operation for operation in OPERATIONS}
EVENT_BY_TYPE: dict[str, type[Event]] = {event.type(): event for event in EVENTS}

assert len(BY_SUBJECT) == len(OPERATIONS), "two operations share a subject"
assert len(EVENT_BY_TYPE) == len(EVENTS), "two events share a type"


def asked_by(caller: str) -> tuple[AnyOperation, ...]:
    """The operations that a service, the edge or the operator may ask for."""
    return tuple(operation for operation in OPERATIONS if caller in operation.callers)
