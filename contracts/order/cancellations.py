"""Cancelling a part of an order: units that have not left yet."""

from typing import Annotated

from pydantic import Field

from contracts.order.fulfilments import MAX_PARCEL_LINES, SkuQuantity
from contracts.order.orders import OrderRef


class CancelOrder(OrderRef):
    """What to cancel of an order. Without `items` it is everything that has not left yet."""

    items: Annotated[
        list[SkuQuantity] | None,
        Field(
            min_length=1,
            max_length=MAX_PARCEL_LINES,
            description="Units of a paid order to cancel; without it, all that has not left.",
        ),
    ] = None
