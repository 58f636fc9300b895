"""Mending: what an operator asks of a service for things of which an audit says that they are wrong."""

from typing import Annotated

from pydantic import Field

from contracts.model import Id, Line, Model, Sku

MOST = 100


class Repair(Model):
    """Things to look at, by id. Each is put right where one answer is right; asked again, nothing more is done."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=MOST)]
    say: Annotated[
        bool, Field(description="Says the events of their present state again, for streams that have lost them.")
    ] = False


class Mended(Model):
    """What was done for one thing; nothing when all was right, or when nothing can be done but by hand."""

    id: Id
    did: list[Line]


class Repaired(Model):
    """In the order asked. An id that nobody knows has nothing done."""

    items: list[Mended]


class RepairStock(Model):
    """Holds by id, and SKUs whose `reserved` may not be the sum of their holds."""

    ids: Annotated[list[Id], Field(max_length=MOST)] = []
    skus: Annotated[list[Sku], Field(max_length=MOST)] = []
    say: Annotated[bool, Field(description="Says again of holds that they are lost, for streams that do not.")] = False


class MendedSku(Model):
    sku: Sku
    did: list[Line]


class RepairedStock(Model):
    items: list[Mended]
    skus: list[MendedSku]
