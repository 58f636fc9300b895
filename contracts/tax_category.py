"""Tax categories: what decides which rates of tax apply to goods."""

from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.model import Slug

DEFAULT_TAX_CATEGORY = "standard"
"""The tax category of goods that name no other. It also taxes goods of a category without a rate where they go."""
EXEMPT_TAX_CATEGORY = "exempt"
"""The tax category of goods that no tax is charged on, unless the merchant has a rate for it."""

TaxCategory = Annotated[
    Slug,
    StringConstraints(max_length=40),
    Field(description="The tax category of goods.", examples=["standard"]),
]
