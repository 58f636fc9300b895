"""Lists of products: filters, sort orders, facets and suggestions."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

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


class ListProducts(PageParams):
    """Filters and sort order of a list of products."""

    q: Annotated[
        SingleLine | None, StringConstraints(max_length=200), Field(description="Words that the product must contain.")
    ] = None
    category: Annotated[Slug | None, Field(description="Only products of the category with this slug.")] = None
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
    tag: Annotated[ProductTag | None, Field(description="Only products with this tag.")] = None
    sort: Annotated[ProductSort | None, Field(description="The order of the list.")] = None
    status: Annotated[
        ProductStatus | None, Field(description="For administrators: products with this status, also off sale.")
    ] = None


class FacetCount(Model):
    """How many products of the result have a value."""

    value: Annotated[
        str,
        Field(
            description="A category's slug, a tag, a price range `low..high` in minor units, or a number of stars, "
            "which counts the products with that average rating or more."
        ),
    ]
    count: Annotated[int, Field(description="The number of products.")]


class ProductSearchResult(Model):
    """One page of the products found, with counts over all of them."""

    items: Annotated[list[Product], Field(description="The items of this page.")]
    next: Annotated[
        Cursor | None, Field(description="Pass this as `after` to get the next page; null on the last page.")
    ] = None
    facets: Annotated[
        dict[str, list[FacetCount]], Field(description="Counts by category, tag, price range and rating.")
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
