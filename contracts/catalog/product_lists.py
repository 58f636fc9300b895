"""Lists of products: filters, sort orders, facets and suggestions."""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints

from contracts.catalog.products import Product, ProductStatus
from contracts.catalog.types import ProductTag
from contracts.model import Cursor, Model, NonEmptyLine, PageParams, SingleLine, Slug
from contracts.money import MAX_AMOUNT


class ProductSort(StrEnum):
    """How a list of products is sorted."""

    RELEVANCE = "relevance"
    PRICE = "price"
    PRICE_DESCENDING = "-price"
    NEWEST = "newest"
    RATING = "rating"
    NAME = "name"


MAX_FILTER_VALUES = 20
"""Values of one filter."""
MAX_FILTER_NAMES = 10
"""Attributes that are filtered by, and options."""
FilterName = Annotated[NonEmptyLine, StringConstraints(max_length=64)]
FilterValue = Annotated[NonEmptyLine, StringConstraints(max_length=255)]


def _read_values(value: object) -> object:
    """One value stands for a list of it, and null for none."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value


def _write_values(values: tuple[str, ...]) -> object:
    """A single value is written as such, since services of an older release read no lists."""
    return values[0] if len(values) == 1 else values


_WRITE_VALUES = PlainSerializer(_write_values, when_used="json")
_UP_TO_20 = Field(max_length=MAX_FILTER_VALUES)
Slugs = Annotated[
    tuple[Slug, ...],
    _UP_TO_20,
    BeforeValidator(_read_values, json_schema_input_type=Slug | Annotated[tuple[Slug, ...], _UP_TO_20] | None),
    _WRITE_VALUES,
]
ProductTags = Annotated[
    tuple[ProductTag, ...],
    _UP_TO_20,
    BeforeValidator(
        _read_values, json_schema_input_type=ProductTag | Annotated[tuple[ProductTag, ...], _UP_TO_20] | None
    ),
    _WRITE_VALUES,
]
FilterValues = Annotated[
    tuple[FilterValue, ...],
    _UP_TO_20,
    BeforeValidator(_read_values, json_schema_input_type=FilterValue | Annotated[tuple[FilterValue, ...], _UP_TO_20]),
    _WRITE_VALUES,
]
ValueFilters = Annotated[dict[FilterName, FilterValues], Field(max_length=MAX_FILTER_NAMES)]


class ListProducts(PageParams):
    """Filters and sort order of a list of products. A filter with several values finds products with any of them."""

    q: Annotated[
        SingleLine | None, StringConstraints(max_length=200), Field(description="Words that the product must contain.")
    ] = None
    category: Annotated[
        Slugs, Field(description="Only products of the category with this slug, or below it. Repeat it for several.")
    ] = ()
    min_price: Annotated[
        int | None, Field(ge=0, le=MAX_AMOUNT, description="Only products at this price or more, in minor units.")
    ] = None
    max_price: Annotated[
        int | None, Field(ge=0, le=MAX_AMOUNT, description="Only products at this price or less, in minor units.")
    ] = None
    min_rating: Annotated[
        float | None, Field(ge=0, le=5, description="Only products with this average rating or more.")
    ] = None
    in_stock: Annotated[bool | None, Field(description="Only products that can be ordered now, or only others.")] = None
    tag: Annotated[ProductTags, Field(description="Only products with this tag. Repeat it for several.")] = ()
    attribute: Annotated[
        ValueFilters,
        Field(
            description="Only products with this attribute, as `attribute.material=oak`. Repeat one for several "
            "values.",
        ),
    ] = {}
    option: Annotated[
        ValueFilters,
        Field(
            description="Only products with a variant with this option, as `option.Size=M`. Repeat one for several "
            "values.",
        ),
    ] = {}
    sort: Annotated[ProductSort | None, Field(description="The order of the list.")] = None
    status: Annotated[
        ProductStatus | None, Field(description="For administrators: products with this status, also off sale.")
    ] = None

    def __hash__(self) -> int:
        """Equal requests have equal hashes. The filters in dictionaries cannot be hashed, so they do not count."""
        return hash((self.q, self.category, self.tag, self.sort, self.after, self.limit))


class FacetCount(Model):
    """How many products have a value, of those that match all filters but the one by this facet."""

    value: Annotated[
        str,
        Field(
            description="A category's slug, a tag, the value of an attribute or option, a price range `low..high` in "
            "minor units, or a number of stars, which counts the products with that average rating or more."
        ),
    ]
    count: Annotated[int, Field(description="The number of products. Those below a category count for it too.")]
    name: Annotated[str | None, Field(description="The attribute or option; null in other facets.")] = None


class ProductSearchResult(Model):
    """One page of the products found, with counts over all of them."""

    items: Annotated[list[Product], Field(description="The items of this page.")]
    next: Annotated[
        Cursor | None, Field(description="Pass this as `after` to get the next page; null on the last page.")
    ] = None
    facets: Annotated[
        dict[str, list[FacetCount]],
        Field(description="Counts by `category`, `price`, `rating`, `tag`, `attribute` and `option`."),
    ]


class SuggestProducts(Model):
    """The beginning of a search."""

    q: Annotated[
        NonEmptyLine, StringConstraints(max_length=200), Field(description="What the shopper has typed so far.")
    ]
    limit: Annotated[int, Field(ge=1, le=20, description="The maximum number of suggestions.")] = 10


class ProductSuggestions(Model):
    """Product names that continue a search."""

    items: Annotated[list[str], Field(description="Product names, the best match first.")]
