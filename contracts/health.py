"""Every service answers whether it and its stores are there."""

from contracts.identity import Access
from contracts.model import Empty, Model
from contracts.operation import EDGE, OPERATOR, Operation


class Health(Model):
    """Each store by name: `ok`, or what is wrong with it."""

    stores: dict[str, str]


def health_of(service: str) -> Operation[Empty, Health]:
    return Operation(service, "health", Empty, Health, "Whether it is ready", Access.ANYONE, callers=(EDGE, OPERATOR))
