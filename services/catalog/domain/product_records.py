"""A product as it is stored, and the JSON that it is served as."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.catalog import (
    Attributes,
    Product,
    ProductImage,
    ProductRating,
    ProductSeo,
    ProductVariant,
    VariantInput,
)
from contracts.model import Id, Model, SingleLine, Sku
from contracts.money import Money
from contracts.tax_category import DEFAULT_TAX_CATEGORY
from services.catalog.domain.publication_schedule import UNSCHEDULED, Publication, read_publish_at

FULL_WIDTH_PIXELS = 1024
NO_SEO = ProductSeo()
VENDOR_ATTRIBUTE = "Vendor"
"""The attribute that product files wrote the vendor to before it was a field."""


class _LineSnapshot(Model):
    sku: Sku
    product_id: Id
    name: SingleLine
    options: Attributes
    unit_price: Money


@dataclass(frozen=True, slots=True)
class AdminAmounts:
    """What only administrators see of a variant, in minor units: what a unit costs the shop, and its own price."""

    cost: int | None
    own_price: int

    def fields(self, shown: Money, currency: str) -> dict[str, Money | None]:
        """The fields of a variant that is shown at a price; its own price is there if it is another one."""
        return {
            "cost": None if self.cost is None else Money(amount=self.cost, currency=currency),
            "own_price": None if self.own_price == shown.amount else Money(amount=self.own_price, currency=currency),
        }


@dataclass(frozen=True, slots=True)
class VariantRecord:
    """A variant without its stock. Prices are minor units of the shop's currency."""

    sku: str
    options: Mapping[str, str]
    price: int
    compare_at_price: int | None
    weight_grams: int | None
    barcode: str | None = None
    cost: int | None = None
    """What a unit costs the shop. It is in no document, because only administrators may see it."""
    requires_shipping: bool = True
    is_freed: bool = False
    """Whether another product has taken the SKU, while the variant's own was off sale."""

    @staticmethod
    def from_contract(variant: VariantInput) -> "VariantRecord":
        """The variant of a request."""
        compare_at = variant.compare_at_price
        return VariantRecord(
            variant.sku,
            variant.options,
            variant.price.amount,
            compare_at.amount if compare_at else None,
            variant.weight_grams,
            variant.barcode,
            variant.cost.amount if variant.cost else None,
            variant.requires_shipping,
        )


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image of a product; its pixels are in the object store."""

    id: UUID
    alt: str

    def to_contract(self) -> ProductImage:
        """The image with the path that it is served under."""
        return ProductImage(id=self.id, url=f"/images/{self.id}/{FULL_WIDTH_PIXELS}.webp", alt=self.alt)


@dataclass(frozen=True, slots=True)
class ProductRecord:
    """A product with its variants and images, but without its stock, which changes independently."""

    id: UUID
    slug: str
    name: str
    description: str
    category_id: UUID | None
    tags: tuple[str, ...]
    attributes: Mapping[str, str]
    variants: tuple[VariantRecord, ...]
    is_active: bool
    created_at: datetime
    updated_at: datetime
    version: int = 1
    images: tuple[ImageRecord, ...] = ()
    rating_average: float = 0.0
    rating_count: int = 0
    handle: str | None = None
    """The name of the product in product files."""
    sources: tuple[Mapping[str, str], ...] = ()
    """Images that a product file names; they are not downloaded."""
    publish_at: datetime | None = None
    """From when it is on sale while it is active; None for ever, `UNSCHEDULED` for a draft."""
    vendor: str | None = None
    tax_category: str = DEFAULT_TAX_CATEGORY
    seo: ProductSeo = NO_SEO
    has_price_plan: bool = False
    """Whether prices beside its variants' own are in force or to come, or a reduction of these."""

    @property
    def price(self) -> int:
        """The price of the cheapest variant, in minor units."""
        return min(variant.price for variant in self.variants)

    @property
    def skus(self) -> tuple[str, ...]:
        """The SKUs of the variants, in their order."""
        return tuple(variant.sku for variant in self.variants)

    @property
    def admin_amounts(self) -> dict[str, AdminAmounts]:
        """What only administrators see of the variants, by SKU."""
        return {variant.sku: AdminAmounts(variant.cost, variant.price) for variant in self.variants}

    @property
    def barcodes(self) -> tuple[str, ...]:
        """The barcodes of the variants that have one."""
        return tuple(variant.barcode for variant in self.variants if variant.barcode)

    @property
    def publication(self) -> Publication:
        """Whether it is active, and from when it is on sale then."""
        return Publication(self.is_active, self.publish_at)

    def document_template(self, currency: str) -> str:
        """The product's JSON as a template: one `%s` for the category's slug, then one for each variant's stock.

        Its status and breadcrumbs are not in it, because they change without the product.
        """
        live = {"category", "variants", "status", "breadcrumbs"}
        product = self._to_contract(currency).model_dump_json(exclude=live)
        variants = [
            _variant_to_contract(variant, currency).model_dump_json(exclude={"available", "on_backorder"})
            for variant in self.variants
        ]
        items = [f'{_escape_percent(variant)[:-1]},"available":%s}}' for variant in variants]
        return f'{_escape_percent(product)[:-1]},"category":%s,"variants":[{",".join(items)}]}}'

    def line_snapshot(self, variant: VariantRecord, currency: str) -> str:
        """What an order line states about the variant, as JSON members without the braces."""
        snapshot = _LineSnapshot(
            sku=variant.sku,
            product_id=self.id,
            name=self.name,
            options=dict(variant.options),
            unit_price=Money(amount=variant.price, currency=currency),
        )
        return snapshot.model_dump_json()[1:-1]

    def _to_contract(self, currency: str) -> Product:
        return Product(
            id=self.id,
            slug=self.slug,
            name=self.name,
            description=self.description,
            category=None,
            tags=list(self.tags),
            attributes=dict(self.attributes),
            price=Money(amount=self.price, currency=currency),
            variants=[],
            images=[image.to_contract() for image in self.images],
            rating=ProductRating(average=self.rating_average, count=self.rating_count),
            is_active=self.is_active,
            created_at=self.created_at,
            updated_at=self.updated_at,
            publish_at=None if self.publish_at == UNSCHEDULED else self.publish_at,
            vendor=self.vendor,
            tax_category=self.tax_category,
            seo=self.seo,
        )


def for_administrators(product: Product, amounts: Mapping[str, AdminAmounts], currency: str) -> Product:
    """The product as administrators see it: with what its variants cost the shop, and their own prices, by SKU."""
    variants = [
        one.model_copy(update=amounts[one.sku].fields(one.price, currency)) if one.sku in amounts else one
        for one in product.variants
    ]
    return product.model_copy(update={"variants": variants})


def product_from_row(row: Mapping[str, Any]) -> ProductRecord:
    """A product from the columns of its row; `variants` and `images` are lists of objects."""
    converted = {"tags", "sources", "variants", "images", "publish_at", "vendor", "seo_title", "seo_description"}
    columns = {name: value for name, value in row.items() if name not in converted}
    vendor = row["attributes"].get(VENDOR_ATTRIBUTE) if row["vendor"] is None else row["vendor"]
    return ProductRecord(
        **columns,
        publish_at=read_publish_at(row["publish_at"]),
        vendor=vendor or None,
        seo=ProductSeo(title=row["seo_title"], description=row["seo_description"]),
        tags=tuple(row["tags"]),
        sources=tuple(row["sources"]),
        variants=tuple(VariantRecord(**variant) for variant in row["variants"]),
        images=tuple(ImageRecord(UUID(image["id"]), image["alt"]) for image in row["images"]),
    )


def _variant_to_contract(variant: VariantRecord, currency: str) -> ProductVariant:
    compare_at = variant.compare_at_price
    return ProductVariant(
        sku=variant.sku,
        options=dict(variant.options),
        price=Money(amount=variant.price, currency=currency),
        compare_at_price=None if compare_at is None else Money(amount=compare_at, currency=currency),
        available=0,
        weight_grams=variant.weight_grams,
        barcode=variant.barcode,
        requires_shipping=variant.requires_shipping,
    )


def _escape_percent(json: str) -> str:
    return json.replace("%", "%%")
