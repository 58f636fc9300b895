"""Products and their variants."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from contracts.catalog.types import SERVICE, Attributes, ProductTag, StockUnits
from contracts.event import Event
from contracts.failure import Fail
from contracts.model import Id, Model, MultilineText, NonEmptyLine, SingleLine, Sku, Slug, Timestamp
from contracts.money import Money


class SkuTaken(Fail, status=HTTPStatus.CONFLICT):
    """Another variant has this SKU already."""


class VariantInUse(Fail, status=HTTPStatus.CONFLICT):
    """A variant with stock on hold cannot be taken away."""


class CurrencyMismatch(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """The shop sells in another currency."""


class ProductVariant(Model):
    sku: Sku
    options: Attributes
    price: Money
    compare_at_price: Money | None = None
    available: Annotated[int, Field(ge=0, description="Units that can be ordered now.")]
    weight_grams: Annotated[int | None, Field(ge=0)] = None


class ProductImage(Model):
    id: Id
    url: Annotated[str, Field(description="Its path in the shop, at its full width.")]
    alt: SingleLine


class ProductRating(Model):
    average: float
    count: int


class Product(Model):
    id: Id
    slug: Slug
    name: SingleLine
    description: MultilineText
    category: Annotated[Slug | None, Field(description="Slug of its category.")]
    tags: list[ProductTag]
    attributes: Attributes
    price: Annotated[Money, Field(description="Of its cheapest variant.")]
    variants: list[ProductVariant]
    images: list[ProductImage]
    rating: ProductRating
    is_active: bool
    created_at: Timestamp
    updated_at: Timestamp


class VariantInput(Model):
    sku: Sku
    price: Money
    compare_at_price: Money | None = None
    options: Attributes = {}
    stock: Annotated[StockUnits | None, Field(description="Units on hand; left as they are when not said.")] = None
    weight_grams: Annotated[int | None, Field(ge=0, le=10_000_000)] = None


ProductName = Annotated[NonEmptyLine, StringConstraints(max_length=200)]


class CreateProduct(Model):
    """A product with `variants`, or one with a single variant and its `sku`, `price` and `stock` beside the name."""

    name: ProductName
    description: MultilineText = ""
    slug: Slug | None = None
    category_id: Id | None = None
    tags: Annotated[list[ProductTag], Field(max_length=50)] = []
    attributes: Attributes = {}
    variants: Annotated[list[VariantInput] | None, Field(min_length=1, max_length=100)] = None
    sku: Sku | None = None
    price: Money | None = None
    compare_at_price: Money | None = None
    stock: StockUnits | None = None
    weight_grams: Annotated[int | None, Field(ge=0, le=10_000_000)] = None

    @model_validator(mode="after")
    def _require_one_form(self) -> "CreateProduct":
        single = (self.sku, self.price)
        if self.variants is None and None in single:
            message = "needs variants, or a sku and a price"
            raise ValueError(message)
        beside = (*single, self.compare_at_price, self.stock, self.weight_grams)
        if self.variants is not None and any(value is not None for value in beside):
            message = "has either variants or a sku and a price beside the name, not both"
            raise ValueError(message)
        return self


class ReplaceProduct(CreateProduct):
    id: Id
    is_active: bool = True


class ChangeProduct(Model):
    """Only what is named changes; `variants` replaces them all."""

    id: Id
    name: ProductName | None = None
    description: MultilineText | None = None
    slug: Slug | None = None
    category_id: Id | None = None
    tags: Annotated[list[ProductTag] | None, Field(max_length=50)] = None
    attributes: Attributes | None = None
    variants: Annotated[list[VariantInput] | None, Field(min_length=1, max_length=100)] = None
    price: Annotated[Money | None, Field(description="Of a product with one variant.")] = None
    is_active: bool | None = None


class ProductRef(Model):
    id: Id


class ProductLookup(Model):
    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,120}$")]
    """A product's id or slug."""


class ProductCreated(Event, service=SERVICE, name="created", key="product_id"):
    """A product came on sale."""

    product_id: Id


class ProductUpdated(Event, service=SERVICE, name="updated", key="product_id"):
    """Something of a product changed: what it says, its price, its variants."""

    product_id: Id


class ProductDeactivated(Event, service=SERVICE, name="deactivated", key="product_id"):
    """A product is not sold any more."""

    product_id: Id
