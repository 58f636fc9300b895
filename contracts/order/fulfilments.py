"""Fulfilments: the parcels in which an order leaves, and the requests about them."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from contracts.failure import Fail
from contracts.model import Id, Model, NonEmptyLine, Quantity, Sku, Timestamp
from contracts.order.order_status import OrderStatus

MAX_PARCEL_LINES = 100
"""SKUs in one parcel: as many as an order has lines."""


class FulfilmentExceedsOrder(Fail, status=HTTPStatus.CONFLICT, code="fulfilment_exceeds_order"):
    """The order has fewer units that have not left yet."""


class TooManyFulfilments(Fail, status=HTTPStatus.CONFLICT, code="too_many_fulfilments"):
    """The order has too many parcels. Send the rest of it as one."""


class FulfilmentState(StrEnum):
    """How much of an order has left: nothing, a part or everything."""

    NONE = "none"
    PARTIAL = "partial"
    FULL = "full"


class ShipmentTracking(Model):
    """How to follow a shipment."""

    carrier: Annotated[NonEmptyLine, StringConstraints(max_length=100), Field(description="The carrier's name.")]
    number: Annotated[
        NonEmptyLine, StringConstraints(max_length=100), Field(description="The carrier's tracking number.")
    ]


class SkuQuantity(Model):
    """Units of one SKU."""

    sku: Sku
    quantity: Quantity


class Fulfilment(Model):
    """A parcel of an order: what is in it, and how far it has come."""

    id: Id
    items: Annotated[list[SkuQuantity], Field(description="What is in the parcel.")]
    tracking: Annotated[
        ShipmentTracking | None, Field(description="How to follow the parcel; null if it cannot be followed.")
    ] = None
    status: Annotated[OrderStatus, Field(description="`shipped` or `delivered`.")]
    at: Annotated[Timestamp, Field(description="When it left.")]
    delivered_at: Annotated[Timestamp | None, Field(description="When it was marked as delivered.")] = None


class CreateFulfilment(Model):
    """A parcel that has left. Without `items` it holds everything of the order that has not left yet."""

    id: Id
    items: Annotated[
        list[SkuQuantity] | None,
        Field(
            min_length=1,
            max_length=MAX_PARCEL_LINES,
            description="What is in the parcel; without it, all that has not left.",
        ),
    ] = None
    tracking: Annotated[ShipmentTracking | None, Field(description="How to follow the parcel.")] = None


class UpdateFulfilment(Model):
    """What has changed about a parcel: its tracking, or that it has arrived. Repeating a request is harmless."""

    id: Id
    tracking: Annotated[ShipmentTracking | None, Field(description="How to follow the parcel.")] = None
    status: Annotated[OrderStatus | None, Field(description="The new status: `delivered`.")] = None

    @field_validator("status")
    @classmethod
    def _require_delivered(cls, value: OrderStatus | None) -> OrderStatus | None:
        if value not in (None, OrderStatus.DELIVERED):
            message = "The status of a parcel can only be set to `delivered`."
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _require_a_change(self) -> "UpdateFulfilment":
        if self.tracking is None and self.status is None:
            message = "Provide `tracking`, `status` or both."
            raise ValueError(message)
        return self
