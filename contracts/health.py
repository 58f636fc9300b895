"""Every service answers whether it and its stores are there."""

from contracts.identity import Access
from contracts.model import Empty, Model
from contracts.operation import EDGE, OPERATOR, Operation


class ServiceHealth(Model):
    """Each store by name: `ok`, or what is wrong with it."""

    stores: dict[str, str]


def health_operation(service: str) -> Operation[Empty, ServiceHealth]:
    return Operation(
        service, "health", Empty, ServiceHealth, "Whether it is ready", Access.ANYONE, callers=(EDGE, OPERATOR)
    )
