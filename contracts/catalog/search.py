"""Lists of products: filters, sorts, facets, suggestions."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.catalog.products import Product
from contracts.catalog.types import ProductTag
from contracts.model import Cursor, Model, NonEmptyLine, PageParams, SingleLine, Slug
from contracts.money import MAX_AMOUNT


class ProductSort(StrEnum):
    RELEVANCE = "relevance"
    PRICE = "price"
    PRICE_DESCENDING = "-price"
    NEWEST = "newest"
    RATING = "rating"
    NAME = "name"


class ListProducts(PageParams):
    q: Annotated[SingleLine | None, StringConstraints(max_length=200)] = None
    category: Slug | None = None
    min_price: Annotated[int | None, Field(ge=0, le=MAX_AMOUNT, description="Minor units.")] = None
    max_price: Annotated[int | None, Field(ge=0, le=MAX_AMOUNT, description="Minor units.")] = None
    min_rating: Annotated[float | None, Field(ge=0, le=5)] = None
    in_stock: bool | None = None
    tag: ProductTag | None = None
    sort: ProductSort | None = None


class FacetCount(Model):
    value: Annotated[str, Field(description="A category's slug, a tag, or a price range `low..high` in minor units.")]
    count: int


class ProductSearchResult(Model):
    items: list[Product]
    next: Cursor | None = None
    facets: dict[str, list[FacetCount]]


class SuggestProducts(Model):
    q: Annotated[NonEmptyLine, StringConstraints(max_length=200)]
    limit: Annotated[int, Field(ge=1, le=20)] = 10


class ProductSuggestions(Model):
    items: list[str]
