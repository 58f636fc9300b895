"""Mending: what an operator asks of a service for things of which an audit says that they are wrong."""

from typing import Annotated

from pydantic import Field

from contracts.model import Id, Model, SingleLine, Sku

MAX_IDS = 100


class RepairRequest(Model):
    """Things to look at, by id. Each is put right where one answer is right; asked again, nothing more is done."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_IDS)]
    say: Annotated[
        bool, Field(description="Says the events of their present state again, for streams that have lost them.")
    ] = False


class RepairedItem(Model):
    """What was done for one thing; nothing when all was right, or when nothing can be done but by hand."""

    id: Id
    did: list[SingleLine]


class RepairResult(Model):
    """In the order asked. An id that nobody knows has nothing done."""

    items: list[RepairedItem]


class StockRepairRequest(Model):
    """Holds by id, and SKUs whose `reserved` may not be the sum of their holds."""

    ids: Annotated[list[Id], Field(max_length=MAX_IDS)] = []
    skus: Annotated[list[Sku], Field(max_length=MAX_IDS)] = []
    say: Annotated[bool, Field(description="Says again of holds that they are lost, for streams that do not.")] = False


class RepairedSku(Model):
    sku: Sku
    did: list[SingleLine]


class StockRepairResult(Model):
    items: list[RepairedItem]
    skus: list[RepairedSku]
