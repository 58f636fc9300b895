"""What becomes of a product when it is made, replaced or changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from contracts.catalog import ChangeProduct, CurrencyMismatch, NewProduct, NewVariant, ReplaceProduct
from contracts.failure import FieldError, Invalid
from contracts.money import Money
from services.catalog.domain.product_records import Article, ArticleVariant
from services.catalog.domain.slugs import slug_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """An article as it should be, and the units on hand that were said with it, by SKU."""

    article: Article
    stock: Mapping[str, int]


def new_product(body: NewProduct, product_id: UUID, now: datetime, currency: str) -> Wanted:
    """The product that is asked for; its slug may yet have to be told apart from another's."""
    variants = _checked(variants_of(body), currency, single=body.variants is None)
    article = Article(
        id=product_id,
        slug=body.slug or slug_of(body.name, "product"),
        name=body.name,
        description=body.description,
        category_id=body.category_id,
        tags=_once(body.tags),
        attributes=body.attributes,
        variants=tuple(map(ArticleVariant.of, variants)),
        is_active=True,
        created_at=now,
        updated_at=now,
    )
    return Wanted(article, _stock(variants))


def replaced(article: Article, body: ReplaceProduct, now: datetime, currency: str) -> Wanted:
    """The product as PUT says it; its slug stays when none is given, so that links to it stay."""
    wanted = new_product(body, article.id, now, currency)
    return Wanted(
        replace(
            article,
            slug=body.slug or article.slug,
            name=wanted.article.name,
            description=wanted.article.description,
            category_id=wanted.article.category_id,
            tags=wanted.article.tags,
            attributes=wanted.article.attributes,
            variants=wanted.article.variants,
            is_active=body.is_active,
            updated_at=now,
            version=article.version + 1,
        ),
        wanted.stock,
    )


def changed(article: Article, body: ChangeProduct, now: datetime, currency: str) -> Wanted:
    """The product with what PATCH names."""
    variants = _checked(body.variants or [], currency, single=False)
    said = {name: getattr(body, name) for name in ("slug", "name", "description", "attributes", "is_active")}
    after = replace(
        article,
        updated_at=now,
        version=article.version + 1,
        **{name: value for name, value in said.items() if value is not None},
    )
    if "category_id" in body.model_fields_set:
        after = replace(after, category_id=body.category_id)
    if body.tags is not None:
        after = replace(after, tags=_once(body.tags))
    if variants:
        after = replace(after, variants=tuple(map(ArticleVariant.of, variants)))
    if body.price is not None:
        after = replace(after, variants=(_repriced(after, body.price, currency),))
    return Wanted(after, _stock(variants))


def variants_of(body: NewProduct) -> list[NewVariant]:
    """Its variants, in whichever form they were said."""
    if body.variants is not None:
        return body.variants
    assert body.sku is not None, "the contract asks for a sku"
    assert body.price is not None, "the contract asks for a price"
    return [
        NewVariant(
            sku=body.sku,
            price=body.price,
            compare_at_price=body.compare_at_price,
            stock=body.stock,
            weight_grams=body.weight_grams,
        )
    ]


def pointer_of(index: int, field: str, *, single: bool) -> str:
    """Where a field of a variant stood in the request."""
    return f"/{field}" if single else f"/variants/{index}/{field}"


def _repriced(article: Article, price: Money, currency: str) -> ArticleVariant:
    if len(article.variants) > 1:
        raise Invalid(errors=[FieldError(pointer="/price", detail="the product has several variants: name them")])
    if price.currency != currency:
        raise CurrencyMismatch(errors=[FieldError(pointer="/price/currency", detail=f"the shop sells in {currency}")])
    return replace(article.variants[0], price=price.amount)


def _checked(variants: Sequence[NewVariant], currency: str, *, single: bool) -> Sequence[NewVariant]:
    foreign = [
        FieldError(
            pointer=pointer_of(index, f"{field}/currency", single=single), detail=f"the shop sells in {currency}"
        )
        for index, variant in enumerate(variants)
        for field in ("price", "compare_at_price")
        if (money := getattr(variant, field)) is not None and money.currency != currency
    ]
    if foreign:
        raise CurrencyMismatch(errors=foreign)
    skus = [variant.sku for variant in variants]
    twice = [
        FieldError(pointer=f"/variants/{index}/sku", detail="stands twice in this product")
        for index, sku in enumerate(skus)
        if sku in skus[:index]
    ]
    if twice:
        raise Invalid(errors=twice)
    return variants


def _stock(variants: Sequence[NewVariant]) -> dict[str, int]:
    return {variant.sku: variant.stock for variant in variants if variant.stock is not None}


def _once(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tags))
