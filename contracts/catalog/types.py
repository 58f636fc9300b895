"""Types and failures that several contracts of the catalog share."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints
from typing_extensions import TypeAliasType

from contracts.failure import Fail
from contracts.model import SKU_PATTERN, NonEmptyLine, SingleLine
from contracts.text_patterns import text_format

SERVICE = "catalog"
MAX_STOCK = 1_000_000_000
"""Units of one SKU."""
MAX_ORDER_UNITS = 999
"""Units of one SKU in an order."""
MAX_VARIANTS = 2_000
"""Of a product, whose JSON must fit into `MAX_DOCUMENT_BYTES` too."""
StockUnits = Annotated[int, Field(ge=0, le=MAX_STOCK, description="Units.")]
ProductTag = Annotated[
    str,
    text_format(
        r"^[^\x00-\x1f\x7f,]+$",
        "Send a tag without commas and control characters.",
        min_length=1,
        max_length=64,
        strip_whitespace=True,
    ),
]
Barcode = Annotated[
    str,
    text_format(
        f"(?:{SKU_PATTERN})",  # the group tells the pattern from that of a SKU, which has its own error text
        "Send a barcode of printable characters, without a space at either end.",
        max_length=64,
    ),
]
Attributes = TypeAliasType(
    "Attributes",
    Annotated[
        dict[
            Annotated[NonEmptyLine, StringConstraints(max_length=64)],
            Annotated[SingleLine, StringConstraints(max_length=255)],
        ],
        Field(max_length=50, description="Values by their names."),
    ],
)
"""An alias of its own, so that the schemas of all messages refer to one definition."""


class SlugTaken(Fail, status=HTTPStatus.CONFLICT, code="slug_taken"):
    """Another product or category already has this slug."""


class SkuUnknown(Fail, status=HTTPStatus.NOT_FOUND, code="sku_unknown"):
    """No product on sale has this SKU."""


class CategoryUnknown(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="category_unknown"):
    """This category does not exist."""
