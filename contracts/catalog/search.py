"""Lists of products: filters, sorts, facets, suggestions."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.catalog.products import Product
from contracts.catalog.types import Tag
from contracts.model import Cursor, Line, Model, Name, Page, Slug
from contracts.money import MAX_AMOUNT


class Sort(StrEnum):
    RELEVANCE = "relevance"
    PRICE = "price"
    PRICE_DESCENDING = "-price"
    NEWEST = "newest"
    RATING = "rating"
    NAME = "name"


class ListProducts(Page):
    q: Annotated[Line | None, StringConstraints(max_length=200)] = None
    category: Slug | None = None
    min_price: Annotated[int | None, Field(ge=0, le=MAX_AMOUNT, description="Minor units.")] = None
    max_price: Annotated[int | None, Field(ge=0, le=MAX_AMOUNT, description="Minor units.")] = None
    min_rating: Annotated[float | None, Field(ge=0, le=5)] = None
    in_stock: bool | None = None
    tag: Tag | None = None
    sort: Sort | None = None


class Facet(Model):
    value: Annotated[str, Field(description="A category's slug, a tag, or a price range `low..high` in minor units.")]
    count: int


class SearchResult(Model):
    items: list[Product]
    next: Cursor | None = None
    facets: dict[str, list[Facet]]


class Suggest(Model):
    q: Annotated[Name, StringConstraints(max_length=200)]
    limit: Annotated[int, Field(ge=1, le=20)] = 10


class Suggestions(Model):
    items: list[str]
