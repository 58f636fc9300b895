"""The models of repair: an operator asks a service to correct objects that `souk verify` found wrong."""

from typing import Annotated

from pydantic import Field

from contracts.model import Id, Model, SingleLine, Sku

MAX_IDS = 100
"""Objects in one request."""


class RepairRequest(Model):
    """Objects to check, by id. Each is corrected if there is one right correction. Repeating a request is harmless."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_IDS)]
    republish: Annotated[
        bool,
        Field(
            alias="say", description="Publish the events of the current state again, for a stream that has lost them."
        ),
    ] = False


class RepairedItem(Model):
    """What was done for one object: nothing if all was right, or if only a person can correct it."""

    id: Id
    did: Annotated[list[SingleLine], Field(description="The corrections made.")]


class RepairResult(Model):
    """The results in the order of the request. For an unknown id nothing is done."""

    items: list[RepairedItem]


class StockRepairRequest(Model):
    """Holds to check, by id, and SKUs whose `reserved` may differ from the sum of their holds."""

    ids: Annotated[list[Id], Field(max_length=MAX_IDS, description="Holds to check.")] = []
    skus: Annotated[list[Sku], Field(max_length=MAX_IDS, description="SKUs to check.")] = []
    republish: Annotated[
        bool,
        Field(alias="say", description="Publish again that holds are lost, for a stream that has lost these events."),
    ] = False


class RepairedSku(Model):
    """What was done for one SKU."""

    sku: Sku
    did: Annotated[list[SingleLine], Field(description="The corrections made.")]


class StockRepairResult(Model):
    """The results in the order of the request."""

    items: Annotated[list[RepairedItem], Field(description="The holds.")]
    skus: list[RepairedSku]
