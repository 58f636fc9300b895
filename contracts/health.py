"""The health operation that every service answers."""

from contracts.identity import Access
from contracts.model import Empty, Model
from contracts.operation import EDGE, OPERATOR, Operation


class ServiceHealth(Model):
    """The state of each store by name: `ok`, or what is wrong with it."""

    stores: dict[str, str]


def health_operation(service: str) -> Operation[Empty, ServiceHealth]:
    """Returns the health operation of a service."""
    return Operation(
        service,
        "health",
        Empty,
        ServiceHealth,
        "Check whether the service is ready",
        Access.ANYONE,
        callers=(EDGE, OPERATOR),
    )
