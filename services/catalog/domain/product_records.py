"""A product as it is kept, and the JSON it is served as."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.catalog import Attributes, Image, NewVariant, Product, Rating, Variant
from contracts.model import Id, Line, Model, Sku
from contracts.money import Money

FULL_WIDTH = 1024


class _Card(Model):
    sku: Sku
    product_id: Id
    name: Line
    options: Attributes
    unit_price: Money


@dataclass(frozen=True, slots=True)
class ArticleVariant:
    """A variant, without its stock. Prices are minor units of the shop's currency."""

    sku: str
    options: Mapping[str, str]
    price: int
    compare_at_price: int | None
    weight_grams: int | None

    @staticmethod
    def of(variant: NewVariant) -> "ArticleVariant":
        compared = variant.compare_at_price
        return ArticleVariant(
            variant.sku,
            variant.options,
            variant.price.amount,
            compared.amount if compared else None,
            variant.weight_grams,
        )


@dataclass(frozen=True, slots=True)
class ArticleImage:
    id: UUID
    alt: str

    def served(self) -> Image:
        return Image(id=self.id, url=f"/images/{self.id}/{FULL_WIDTH}.webp", alt=self.alt)


@dataclass(frozen=True, slots=True)
class Article:
    """A product with its variants and pictures. Without its stock, which changes by itself."""

    id: UUID
    slug: str
    name: str
    description: str
    category_id: UUID | None
    tags: tuple[str, ...]
    attributes: Mapping[str, str]
    variants: tuple[ArticleVariant, ...]
    is_active: bool
    created_at: datetime
    updated_at: datetime
    version: int = 1
    images: tuple[ArticleImage, ...] = ()
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

    def document(self, currency: str) -> str:
        """Its JSON as a template: a `%s` for the category, and one for what is available of each variant."""
        head = self._served(currency).model_dump_json(exclude={"category", "variants"})
        variants = [_served(variant, currency).model_dump_json(exclude={"available"}) for variant in self.variants]
        lines = [f'{_escaped(variant)[:-1]},"available":%s}}' for variant in variants]
        return f'{_escaped(head)[:-1]},"category":%s,"variants":[{",".join(lines)}]}}'

    def card(self, variant: ArticleVariant, currency: str) -> str:
        """What a line that sells the variant says of it, as members of a JSON object."""
        line = _Card(
            sku=variant.sku,
            product_id=self.id,
            name=self.name,
            options=dict(variant.options),
            unit_price=Money(amount=variant.price, currency=currency),
        )
        return line.model_dump_json()[1:-1]

    def _served(self, currency: str) -> Product:
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
            images=[image.served() for image in self.images],
            rating=Rating(average=self.rating_average, count=self.rating_count),
            is_active=self.is_active,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


def _served(variant: ArticleVariant, currency: str) -> Variant:
    compared = variant.compare_at_price
    return Variant(
        sku=variant.sku,
        options=dict(variant.options),
        price=Money(amount=variant.price, currency=currency),
        compare_at_price=None if compared is None else Money(amount=compared, currency=currency),
        available=0,
        weight_grams=variant.weight_grams,
    )


def _escaped(json: str) -> str:
    return json.replace("%", "%%")


def article_of(row: Mapping[str, Any]) -> Article:
    """An article from the columns of its row, `variants` and `images` being lists of objects."""
    columns = {name: value for name, value in row.items() if name not in {"tags", "sources", "variants", "images"}}
    return Article(
        **columns,
        tags=tuple(row["tags"]),
        sources=tuple(row["sources"]),
        variants=tuple(ArticleVariant(**variant) for variant in row["variants"]),
        images=tuple(ArticleImage(UUID(image["id"]), image["alt"]) for image in row["images"]),
    )
