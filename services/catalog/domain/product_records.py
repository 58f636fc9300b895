"""A product as it is kept, and the JSON it is served as."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.catalog import Attributes, Product, ProductImage, ProductRating, ProductVariant, VariantInput
from contracts.model import Id, Model, SingleLine, Sku
from contracts.money import Money

FULL_WIDTH_PIXELS = 1024


class _LineSnapshot(Model):
    sku: Sku
    product_id: Id
    name: SingleLine
    options: Attributes
    unit_price: Money


@dataclass(frozen=True, slots=True)
class VariantRecord:
    """A variant, without its stock. Prices are minor units of the shop's currency."""

    sku: str
    options: Mapping[str, str]
    price: int
    compare_at_price: int | None
    weight_grams: int | None

    @staticmethod
    def from_contract(variant: VariantInput) -> "VariantRecord":
        compared = variant.compare_at_price
        return VariantRecord(
            variant.sku,
            variant.options,
            variant.price.amount,
            compared.amount if compared else None,
            variant.weight_grams,
        )


@dataclass(frozen=True, slots=True)
class ImageRecord:
    id: UUID
    alt: str

    def to_contract(self) -> ProductImage:
        return ProductImage(id=self.id, url=f"/images/{self.id}/{FULL_WIDTH_PIXELS}.webp", alt=self.alt)


@dataclass(frozen=True, slots=True)
class ProductRecord:
    """A product with its variants and pictures. Without its stock, which changes by itself."""

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
    sources: tuple[Mapping[str, str], ...] = ()

    @property
    def price(self) -> int:
        return min(variant.price for variant in self.variants)

    @property
    def skus(self) -> tuple[str, ...]:
        return tuple(variant.sku for variant in self.variants)

    def document_template(self, currency: str) -> str:
        """Its JSON as a template: a `%s` for the category, and one for what is available of each variant."""
        head = self._to_contract(currency).model_dump_json(exclude={"category", "variants"})
        variants = [_served(variant, currency).model_dump_json(exclude={"available"}) for variant in self.variants]
        lines = [f'{_escaped(variant)[:-1]},"available":%s}}' for variant in variants]
        return f'{_escaped(head)[:-1]},"category":%s,"variants":[{",".join(lines)}]}}'

    def line_snapshot(self, variant: VariantRecord, currency: str) -> str:
        """What a line that sells the variant says of it, as members of a JSON object."""
        line = _LineSnapshot(
            sku=variant.sku,
            product_id=self.id,
            name=self.name,
            options=dict(variant.options),
            unit_price=Money(amount=variant.price, currency=currency),
        )
        return line.model_dump_json()[1:-1]

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
        )


def _served(variant: VariantRecord, currency: str) -> ProductVariant:
    compared = variant.compare_at_price
    return ProductVariant(
        sku=variant.sku,
        options=dict(variant.options),
        price=Money(amount=variant.price, currency=currency),
        compare_at_price=None if compared is None else Money(amount=compared, currency=currency),
        available=0,
        weight_grams=variant.weight_grams,
    )


def _escaped(json: str) -> str:
    return json.replace("%", "%%")


def product_from_row(row: Mapping[str, Any]) -> ProductRecord:
    """An article from the columns of its row, `variants` and `images` being lists of objects."""
    columns = {name: value for name, value in row.items() if name not in {"tags", "sources", "variants", "images"}}
    return ProductRecord(
        **columns,
        tags=tuple(row["tags"]),
        sources=tuple(row["sources"]),
        variants=tuple(VariantRecord(**variant) for variant in row["variants"]),
        images=tuple(ImageRecord(UUID(image["id"]), image["alt"]) for image in row["images"]),
    )
