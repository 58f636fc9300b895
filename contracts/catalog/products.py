"""Products and their variants."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from contracts.catalog.price_lists import OWN_PRICE_TEXT, PRIOR_PRICE_TEXT, QuantityBreak
from contracts.catalog.types import (
    MAX_ORDER_UNITS,
    MAX_VARIANTS,
    SERVICE,
    Attributes,
    Barcode,
    ProductTag,
    StockUnits,
)
from contracts.event import Event
from contracts.failure import Fail, Problem
from contracts.model import (
    LINE_DETAIL,
    LINE_PATTERN,
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
from contracts.tax_category import DEFAULT_TAX_CATEGORY, TaxCategory
from contracts.text_patterns import text_format


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


MAX_SEO_TITLE, MAX_SEO_DESCRIPTION = 200, 500
"""Characters."""


class ProductSeo(Model):
    """What search engines show of a product. Without a text they show its name or its description."""

    title: Annotated[
        str | None,
        text_format(LINE_PATTERN, LINE_DETAIL, min_length=1, max_length=MAX_SEO_TITLE, strip_whitespace=True),
        Field(description="The title of its page."),
    ] = None
    description: Annotated[
        str | None,
        text_format(LINE_PATTERN, LINE_DETAIL, min_length=1, max_length=MAX_SEO_DESCRIPTION, strip_whitespace=True),
        Field(description="A summary of its page."),
    ] = None


class Breadcrumb(Model):
    """A category on the way to a product."""

    slug: Slug
    name: Annotated[SingleLine, Field(description="The category's name.")]


AVAILABLE_TEXT = (
    f"Units that can be ordered now; at least {MAX_ORDER_UNITS} of a SKU that is not tracked or sold below zero."
)
STOCK_TEXT = (
    "Units on hand; null for a SKU that is not tracked and can always be ordered. Without it, the stock stays as it is."
)
BACKORDER_TEXT = "Whether it can be ordered when no unit is left; without it, that stays as it is."


class ProductVariant(Model):
    """One version of a product, with its own SKU and price."""

    sku: Sku
    options: Annotated[Attributes, Field(description="What sets it apart, such as size and colour.")]
    price: Annotated[Money, Field(description="The price of one unit.")]
    compare_at_price: Annotated[Money | None, Field(description="A former or list price, shown struck through.")] = None
    prior_price: Annotated[
        Money | None, Field(exclude_if=lambda price: price is None, description=PRIOR_PRICE_TEXT)
    ] = None
    price_breaks: Annotated[
        list[QuantityBreak],
        Field(exclude_if=lambda breaks: not breaks, description="Prices of larger quantities, the smallest first."),
    ] = []
    available: Annotated[int, Field(ge=0, description=AVAILABLE_TEXT)]
    on_backorder: Annotated[
        bool, Field(description="Whether no unit is in stock, so that an order waits for new ones.")
    ] = False
    weight_grams: Annotated[int | None, Field(ge=0, description="Weight of one unit in grams.")] = None
    barcode: Annotated[Barcode | None, Field(description="Its GTIN, ISBN or another barcode.")] = None
    requires_shipping: Annotated[bool, Field(description="Whether it is shipped; false for downloads.")] = True
    cost: Annotated[
        Money | None,
        Field(
            exclude_if=lambda cost: cost is None,
            description="What a unit costs the shop. Only administrators see it, and not in lists.",
        ),
    ] = None
    own_price: Annotated[Money | None, Field(exclude_if=lambda price: price is None, description=OWN_PRICE_TEXT)] = None


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
    vendor: Annotated[SingleLine | None, Field(description="Who makes it.")] = None
    tax_category: TaxCategory = DEFAULT_TAX_CATEGORY
    seo: ProductSeo = ProductSeo()
    breadcrumbs: Annotated[
        list[Breadcrumb], Field(description="The categories above it and its own, from the top of the tree.")
    ] = []


class VariantInput(Model):
    """The fields of a variant."""

    sku: Sku
    price: Annotated[Money, Field(description="The price of one unit.")]
    compare_at_price: Annotated[Money | None, Field(description="A former or list price, shown struck through.")] = None
    options: Annotated[Attributes, Field(description="What sets it apart, such as size and colour.")] = {}
    stock: Annotated[StockUnits | None, Field(description=STOCK_TEXT)] = None
    backorder: Annotated[bool | None, Field(description=BACKORDER_TEXT)] = None
    weight_grams: Annotated[int | None, Field(ge=0, le=10_000_000, description="Weight of one unit in grams.")] = None
    barcode: Annotated[Barcode | None, Field(description="Its GTIN, ISBN or another barcode.")] = None
    cost: Annotated[
        Money | None, Field(description="What a unit costs the shop; without it, the cost stays as it is.")
    ] = None
    requires_shipping: Annotated[bool, Field(description="Whether it is shipped; false for downloads.")] = True


ProductName = Annotated[NonEmptyLine, StringConstraints(max_length=200), VISIBLE]


ONLY_VARIANT_FIELDS = (
    *("sku", "price", "compare_at_price", "stock", "backorder", "weight_grams", "barcode", "cost", "requires_shipping"),
)
"""The fields of a variant that stand beside the name of a product with one variant."""


class CreateProduct(Model):
    """A product with `variants`, or a product with one variant, whose `sku` and `price` stand beside the name."""

    name: Annotated[ProductName, Field(description="The name that shoppers see.")]
    description: Annotated[MultilineText, Field(description="Text or HTML; only harmless markup is kept.")] = ""
    slug: Annotated[Slug | None, Field(description="Without it, the slug is made from the name.")] = None
    category_id: Annotated[Id | None, Field(description="The category it belongs to.")] = None
    tags: Annotated[list[ProductTag], Field(max_length=50, description="Words to find it by.")] = []
    attributes: Annotated[Attributes, Field(description="Facts about it, such as its material.")] = {}
    variants: Annotated[
        list[VariantInput] | None,
        Field(min_length=1, max_length=MAX_VARIANTS, description="The versions that can be ordered."),
    ] = None
    sku: Annotated[Sku | None, Field(description="The SKU of the only variant.")] = None
    price: Annotated[Money | None, Field(description="The price of the only variant.")] = None
    compare_at_price: Annotated[Money | None, Field(description="The former or list price of the only variant.")] = None
    stock: Annotated[StockUnits | None, Field(description=STOCK_TEXT)] = None
    backorder: Annotated[bool | None, Field(description=BACKORDER_TEXT)] = None
    weight_grams: Annotated[
        int | None, Field(ge=0, le=10_000_000, description="Weight in grams of the only variant.")
    ] = None
    barcode: Annotated[Barcode | None, Field(description="The barcode of the only variant.")] = None
    cost: Annotated[Money | None, Field(description="What a unit of the only variant costs the shop.")] = None
    requires_shipping: Annotated[bool | None, Field(description="Whether the only variant is shipped.")] = None
    vendor: Annotated[NonEmptyLine | None, Field(description="Who makes it.")] = None
    tax_category: TaxCategory = DEFAULT_TAX_CATEGORY
    seo: ProductSeo = ProductSeo()
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
        if self.variants is not None and any(getattr(self, name) is not None for name in ONLY_VARIANT_FIELDS):
            names = ", ".join(f"`{name}`" for name in ONLY_VARIANT_FIELDS)
            message = f"Provide either `variants` or the fields of the only variant ({names}), not both."
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
        list[VariantInput] | None,
        Field(min_length=1, max_length=MAX_VARIANTS, description="The versions that can be ordered."),
    ] = None
    price: Annotated[Money | None, Field(description="The new price of a product with one variant.")] = None
    stock: Annotated[StockUnits | None, Field(description=f"For a product with one variant. {STOCK_TEXT}")] = None
    backorder: Annotated[bool | None, Field(description=f"For a product with one variant. {BACKORDER_TEXT}")] = None
    is_active: Annotated[bool | None, Field(description="Whether it is on sale.")] = None
    status: Annotated[
        ProductStatus | None,
        Field(description="`active` publishes a draft at once, or at `publish_at`; `draft` withdraws it again."),
    ] = None
    publish_at: Annotated[
        InputTimestamp | None, Field(description="When to publish it; null ends the schedule of a draft.")
    ] = None
    vendor: Annotated[NonEmptyLine | None, Field(description="Who makes it; null removes it.")] = None
    tax_category: Annotated[TaxCategory | None, Field(description="The tax category of goods.")] = None
    seo: Annotated[ProductSeo | None, Field(description="Replaces both texts for search engines.")] = None


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
    valid_seconds: Annotated[float | None, Field(description="How long its prices last, if they change.")] = None


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
