"""All operations and events in one place, and which service subscribes to which event."""

from contracts import cart, catalog, notification, order, payment, privacy, user
from contracts.audit_log import audit_log_operation
from contracts.event import Event
from contracts.health import health_operation
from contracts.operation import AnyOperation
from contracts.operator_redelivery import redelivery_operation

SERVICES = ("user", "catalog", "cart", "order", "payment", "notification")

HEALTH = {service: health_operation(service) for service in SERVICES}

SUBSCRIPTIONS: dict[str, tuple[type[Event], ...]] = {
    "user": (),
    "catalog": (order.OrderPaid, order.OrderCancelled, order.OrderUnitsCancelled),
    "cart": (order.OrderPaid,),
    "order": (payment.PaymentCaptured, payment.PaymentFailed, payment.PaymentRefunded, catalog.HoldLost),
    "payment": (order.OrderPlaced, order.OrderCancelled, order.OrderUnitsCancelled, order.OrderClaimed),
    "notification": (
        order.OrderPlaced,
        order.OrderPaid,
        order.OrderCancelled,
        order.OrderShipped,
        order.OrderUnitsCancelled,
        order.OrderClaimed,
        order.OrderLookupRequested,
        user.VerificationRequested,
        user.ResetRequested,
    ),
}
"""The events that each service subscribes to. Provisioning creates one consumer for each pair of service and stream."""

REDELIVER = {service: redelivery_operation(service) for service, events in SUBSCRIPTIONS.items() if events}
"""The operations by which an operator redelivers an event, by service."""

AUDIT_LOGS = {service: audit_log_operation(service) for service in SERVICES if service != "cart"}
"""The operations that read the audit logs, by service. cart has none: only customers and guests change carts."""

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
    """Returns the operations that a service, the edge or the operator may call."""
    return tuple(operation for operation in OPERATIONS if caller in operation.callers)
