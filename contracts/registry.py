"""Everything that can be asked and heard, gathered, and who hears what."""

from contracts import cart, catalog, notification, order, payment, privacy, user
from contracts.audit_log import audit_log_operation
from contracts.event import Event
from contracts.health import health_operation
from contracts.operation import AnyOperation
from contracts.redelivery import redelivery_operation

SERVICES = ("user", "catalog", "cart", "order", "payment", "notification")

HEALTH = {service: health_operation(service) for service in SERVICES}

SUBSCRIPTIONS: dict[str, tuple[type[Event], ...]] = {
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

REDELIVER = {service: redelivery_operation(service) for service, heard in SUBSCRIPTIONS.items() if heard}
"""How the operator hands an event over once more."""

AUDIT_LOGS = {service: audit_log_operation(service) for service in SERVICES if service != "cart"}
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
    *REDELIVER.values(),
    *AUDIT_LOGS.values(),
)

EVENTS: tuple[type[Event], ...] = (*user.EVENTS, *catalog.EVENTS, *order.EVENTS, *payment.EVENTS)

BY_SUBJECT: dict[str, AnyOperation] = {operation.subject: operation for operation in OPERATIONS}
EVENT_BY_TYPE: dict[str, type[Event]] = {event.ce_type(): event for event in EVENTS}

assert len(BY_SUBJECT) == len(OPERATIONS), "two operations share a subject"
assert len(EVENT_BY_TYPE) == len(EVENTS), "two events share a type"


def operations_for(caller: str) -> tuple[AnyOperation, ...]:
    """The operations that a service, the edge or the operator may ask for."""
    return tuple(operation for operation in OPERATIONS if caller in operation.callers)
