"""The words that the catalog's other contracts are made of."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.failure import Fail
from contracts.model import NonEmptyLine, SingleLine

SERVICE = "catalog"
MAX_STOCK = 1_000_000_000
StockUnits = Annotated[int, Field(ge=0, le=MAX_STOCK, description="Units.")]
ProductTag = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f,]+$", min_length=1, max_length=64, strip_whitespace=True)
]
Attributes = Annotated[
    dict[
        Annotated[NonEmptyLine, StringConstraints(max_length=64)],
        Annotated[SingleLine, StringConstraints(max_length=255)],
    ],
    Field(max_length=50),
]


class SlugTaken(Fail, status=HTTPStatus.CONFLICT):
    """Another one has this slug already."""


class SkuUnknown(Fail, status=HTTPStatus.NOT_FOUND):
    """There is no such SKU on sale."""


class CategoryUnknown(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """There is no such category."""
