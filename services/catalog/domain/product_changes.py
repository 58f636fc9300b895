"""What becomes of a product when it is made, replaced or changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from contracts.catalog import ChangeProduct, CreateProduct, CurrencyMismatch, ReplaceProduct, VariantInput
from contracts.failure import FieldError, InvalidRequest
from contracts.money import Money
from services.catalog.domain.product_records import ProductRecord, VariantRecord
from services.catalog.domain.slugs import slugify


@dataclass(frozen=True, slots=True)
class ProductChange:
    """An article as it should be, and the units on hand that were said with it, by SKU."""

    product: ProductRecord
    stock: Mapping[str, int]


def plan_creation(body: CreateProduct, product_id: UUID, now: datetime, currency: str) -> ProductChange:
    """The product that is asked for; its slug may yet have to be told apart from another's."""
    variants = _checked(requested_variants(body), currency, single=body.variants is None)
    article = ProductRecord(
        id=product_id,
        slug=body.slug or slugify(body.name, "product"),
        name=body.name,
        description=body.description,
        category_id=body.category_id,
        tags=_once(body.tags),
        attributes=body.attributes,
        variants=tuple(map(VariantRecord.from_contract, variants)),
        is_active=True,
        created_at=now,
        updated_at=now,
    )
    return ProductChange(article, _stock(variants))


def plan_replacement(product: ProductRecord, body: ReplaceProduct, now: datetime, currency: str) -> ProductChange:
    """The product as PUT says it; its slug stays when none is given, so that links to it stay."""
    wanted = plan_creation(body, product.id, now, currency)
    return ProductChange(
        replace(
            product,
            slug=body.slug or product.slug,
            name=wanted.product.name,
            description=wanted.product.description,
            category_id=wanted.product.category_id,
            tags=wanted.product.tags,
            attributes=wanted.product.attributes,
            variants=wanted.product.variants,
            is_active=body.is_active,
            updated_at=now,
            version=product.version + 1,
        ),
        wanted.stock,
    )


def plan_update(product: ProductRecord, body: ChangeProduct, now: datetime, currency: str) -> ProductChange:
    """The product with what PATCH names."""
    variants = _checked(body.variants or [], currency, single=False)
    said = {name: getattr(body, name) for name in ("slug", "name", "description", "attributes", "is_active")}
    after = replace(
        product,
        updated_at=now,
        version=product.version + 1,
        **{name: value for name, value in said.items() if value is not None},
    )
    if "category_id" in body.model_fields_set:
        after = replace(after, category_id=body.category_id)
    if body.tags is not None:
        after = replace(after, tags=_once(body.tags))
    if variants:
        after = replace(after, variants=tuple(map(VariantRecord.from_contract, variants)))
    if body.price is not None:
        after = replace(after, variants=(_repriced(after, body.price, currency),))
    return ProductChange(after, _stock(variants))


def requested_variants(body: CreateProduct) -> list[VariantInput]:
    """Its variants, in whichever form they were said."""
    if body.variants is not None:
        return body.variants
    assert body.sku is not None, "the contract asks for a sku"
    assert body.price is not None, "the contract asks for a price"
    return [
        VariantInput(
            sku=body.sku,
            price=body.price,
            compare_at_price=body.compare_at_price,
            stock=body.stock,
            weight_grams=body.weight_grams,
        )
    ]


def variant_pointer(index: int, field: str, *, single: bool) -> str:
    """Where a field of a variant stood in the request."""
    return f"/{field}" if single else f"/variants/{index}/{field}"


def _repriced(article: ProductRecord, price: Money, currency: str) -> VariantRecord:
    if len(article.variants) > 1:
        raise InvalidRequest(
            errors=[FieldError(pointer="/price", detail="the product has several variants: name them")]
        )
    if price.currency != currency:
        raise CurrencyMismatch(errors=[FieldError(pointer="/price/currency", detail=f"the shop sells in {currency}")])
    return replace(article.variants[0], price=price.amount)


def _checked(variants: Sequence[VariantInput], currency: str, *, single: bool) -> Sequence[VariantInput]:
    foreign = [
        FieldError(
            pointer=variant_pointer(index, f"{field}/currency", single=single), detail=f"the shop sells in {currency}"
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
        raise InvalidRequest(errors=twice)
    return variants


def _stock(variants: Sequence[VariantInput]) -> dict[str, int]:
    return {variant.sku: variant.stock for variant in variants if variant.stock is not None}


def _once(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tags))
