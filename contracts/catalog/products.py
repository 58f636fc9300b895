"""Products and their variants."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from contracts.catalog.types import SERVICE, Attributes, ProductTag, StockUnits
from contracts.event import Event
from contracts.failure import Fail, Problem
from contracts.model import (
    VISIBLE,
    Id,
    InputTimestamp,
    Model,
    MultilineText,
    NonEmptyLine,
    SingleLine,
    Sku,
    Slug,
    Timestamp,
)
from contracts.money import Money
from contracts.text_formats import text_format


class SkuTaken(Fail, status=HTTPStatus.CONFLICT, code="sku_taken"):
    """Another variant already has this SKU."""


class VariantInUse(Fail, status=HTTPStatus.CONFLICT, code="variant_in_use"):
    """A variant with held stock cannot be removed."""


class CurrencyMismatch(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="currency_mismatch"):
    """The shop sells in a different currency."""


class ProductStatus(StrEnum):
    """How far a product is on its way to the shoppers."""

    DRAFT = "draft"
    ACTIVE = "active"
    INACTIVE = "inactive"


STATUS_TEXT = (
    "`draft`: not published yet, for want of a `publish_at` or because that is still to come. `active`: on sale. "
    "`inactive`: taken off sale, so that others may have its slug and its SKUs."
)


class ProductVariant(Model):
    """One version of a product, with its own SKU and price."""

    sku: Sku
    options: Annotated[Attributes, Field(description="What sets it apart, such as size and colour.")]
    price: Annotated[Money, Field(description="The price of one unit.")]
    compare_at_price: Annotated[Money | None, Field(description="A former or list price, shown struck through.")] = None
    available: Annotated[int, Field(ge=0, description="Units that can be ordered now.")]
    weight_grams: Annotated[int | None, Field(ge=0, description="Weight of one unit in grams.")] = None


class ProductImage(Model):
    """An image of a product."""

    id: Id
    url: Annotated[str, Field(description="The path of the image at its full width.")]
    alt: Annotated[SingleLine, Field(description="A text for those who cannot see the image.")]


class ProductRating(Model):
    """What reviewers think of a product."""

    average: Annotated[float, Field(description="0 to 5 stars.")]
    count: Annotated[int, Field(description="The number of ratings.")]


class Product(Model):
    """A product with its variants."""

    id: Id
    slug: Slug
    name: Annotated[SingleLine, Field(description="The name that shoppers see.")]
    description: Annotated[MultilineText, Field(description="Text, or HTML with harmless markup only.")]
    category: Annotated[Slug | None, Field(description="The slug of its category.")]
    tags: Annotated[list[ProductTag], Field(description="Words to find it by.")]
    attributes: Annotated[Attributes, Field(description="Facts about it, such as its material.")]
    price: Annotated[Money, Field(description="The price of its cheapest variant.")]
    variants: Annotated[list[ProductVariant], Field(description="The versions that can be ordered.")]
    images: Annotated[list[ProductImage], Field(description="Its images, the main one first.")]
    rating: ProductRating
    is_active: Annotated[bool, Field(description="Whether it is on sale, or will be once it is published.")]
    created_at: Timestamp
    updated_at: Timestamp
    publish_at: Annotated[Timestamp | None, Field(description="From when it is on sale, if that was set.")] = None
    status: Annotated[ProductStatus, Field(description=STATUS_TEXT)] = ProductStatus.ACTIVE


class VariantInput(Model):
    """The fields of a variant."""

    sku: Sku
    price: Annotated[Money, Field(description="The price of one unit.")]
    compare_at_price: Annotated[Money | None, Field(description="A former or list price, shown struck through.")] = None
    options: Annotated[Attributes, Field(description="What sets it apart, such as size and colour.")] = {}
    stock: Annotated[StockUnits | None, Field(description="Units on hand; without it, the stock stays as it is.")] = (
        None
    )
    weight_grams: Annotated[int | None, Field(ge=0, le=10_000_000, description="Weight of one unit in grams.")] = None


ProductName = Annotated[NonEmptyLine, StringConstraints(max_length=200), VISIBLE]


class CreateProduct(Model):
    """A product with `variants`, or a product with one variant, whose `sku` and `price` stand beside the name."""

    name: Annotated[ProductName, Field(description="The name that shoppers see.")]
    description: Annotated[MultilineText, Field(description="Text or HTML; only harmless markup is kept.")] = ""
    slug: Annotated[Slug | None, Field(description="Without it, the slug is made from the name.")] = None
    category_id: Annotated[Id | None, Field(description="The category it belongs to.")] = None
    tags: Annotated[list[ProductTag], Field(max_length=50, description="Words to find it by.")] = []
    attributes: Annotated[Attributes, Field(description="Facts about it, such as its material.")] = {}
    variants: Annotated[
        list[VariantInput] | None, Field(min_length=1, max_length=100, description="The versions that can be ordered.")
    ] = None
    sku: Annotated[Sku | None, Field(description="The SKU of the only variant.")] = None
    price: Annotated[Money | None, Field(description="The price of the only variant.")] = None
    compare_at_price: Annotated[Money | None, Field(description="The former or list price of the only variant.")] = None
    stock: Annotated[StockUnits | None, Field(description="Units on hand of the only variant.")] = None
    weight_grams: Annotated[
        int | None, Field(ge=0, le=10_000_000, description="Weight in grams of the only variant.")
    ] = None
    status: Annotated[
        ProductStatus | None,
        Field(description="`draft` to publish it later. Without it, the product is on sale from `publish_at` on."),
    ] = None
    publish_at: Annotated[
        InputTimestamp | None, Field(description="When to publish it; without it at once, unless it is a draft.")
    ] = None

    @model_validator(mode="after")
    def _require_one_form(self) -> "CreateProduct":
        if self.variants is None and (self.sku is None or self.price is None):
            message = "Provide `variants`, or `sku` and `price`."
            raise ValueError(message)
        only_variant = (self.sku, self.price, self.compare_at_price, self.stock, self.weight_grams)
        if self.variants is not None and any(value is not None for value in only_variant):
            message = (
                "Provide either `variants` or the fields of the only variant (`sku`, `price`, `compare_at_price`, "
                "`stock`, `weight_grams`), not both."
            )
            raise ValueError(message)
        return self


class ReplaceProduct(CreateProduct):
    """The new fields of a product. Without `status` and `publish_at`, a draft stays a draft."""

    id: Id
    is_active: Annotated[bool, Field(description="Whether it is on sale.")] = True


class ChangeProduct(Model):
    """The fields to change; the others stay. `variants` replaces all variants."""

    id: Id
    name: Annotated[ProductName | None, Field(description="The name that shoppers see.")] = None
    description: Annotated[MultilineText | None, Field(description="Text or HTML; only harmless markup is kept.")] = (
        None
    )
    slug: Annotated[Slug | None, Field(description="The readable part of its URL.")] = None
    category_id: Annotated[Id | None, Field(description="The category it belongs to.")] = None
    tags: Annotated[list[ProductTag] | None, Field(max_length=50, description="Words to find it by.")] = None
    attributes: Annotated[Attributes | None, Field(description="Facts about it, such as its material.")] = None
    variants: Annotated[
        list[VariantInput] | None, Field(min_length=1, max_length=100, description="The versions that can be ordered.")
    ] = None
    price: Annotated[Money | None, Field(description="The new price of a product with one variant.")] = None
    is_active: Annotated[bool | None, Field(description="Whether it is on sale.")] = None
    status: Annotated[
        ProductStatus | None,
        Field(description="`active` publishes a draft at once, or at `publish_at`; `draft` withdraws it again."),
    ] = None
    publish_at: Annotated[
        InputTimestamp | None, Field(description="When to publish it; null ends the schedule of a draft.")
    ] = None


class ProductRef(Model):
    """Names a product."""

    id: Id


class ProductLookup(Model):
    """Names a product by its id or slug."""

    key: Annotated[
        str,
        text_format(r"^[A-Za-z0-9-]{1,120}$", "Send a product's id or slug."),
        Field(description="The product's id, its slug, or a slug that it had before."),
    ]


MAX_PRODUCT_LOOKUPS = 100
"""Products in one request."""


class GetProducts(Model):
    """Products to read in one request, each as a request of its own would."""

    items: Annotated[list[ProductLookup], Field(min_length=1, max_length=MAX_PRODUCT_LOOKUPS)]


class ProductResult(Model):
    """What a request for one product alone would be replied with: the product, or why there is none."""

    version: int | None = None
    product: Annotated[
        str | None, Field(description="A `Product` as JSON text, so that each reader passes on the same bytes.")
    ] = None
    failure: Problem | None = None
    moved_to: Annotated[
        Slug | None, Field(description="The product's current slug, if it was asked for by an old one.")
    ] = None


class ProductResults(Model):
    """The results in the order of the lookups. The last ones are missing when the reply has no room for them."""

    items: list[ProductResult]


class ProductCreated(Event, service=SERVICE, name="created", key="product_id"):
    """A product was created."""

    product_id: Id


class ProductUpdated(Event, service=SERVICE, name="updated", key="product_id"):
    """A product changed: its texts, its price or its variants."""

    product_id: Id


class ProductDeactivated(Event, service=SERVICE, name="deactivated", key="product_id"):
    """A product was taken off sale."""

    product_id: Id
