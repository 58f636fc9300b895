"""Plans what a product becomes when it is created, replaced or updated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from contracts.catalog import (
    ONLY_VARIANT_FIELDS,
    ChangeProduct,
    CreateProduct,
    CurrencyMismatch,
    ReplaceProduct,
    VariantInput,
)
from contracts.failure import FieldError, InvalidRequest
from contracts.money import Money
from services.catalog.domain.folded_text import unique_tags
from services.catalog.domain.product_records import NO_SEO, ProductRecord, VariantRecord
from services.catalog.domain.publication_schedule import change_publication, plan_publication
from services.catalog.domain.sku_format import find_sku_problem
from services.catalog.domain.slugs import RESERVED_SLUGS, propose_slug
from services.catalog.domain.stock import NO_CHANGE, StockChange


@dataclass(frozen=True, slots=True)
class ProductChange:
    """A product as it shall be, and what the request changes of its stock, by SKU."""

    product: ProductRecord
    stock: Mapping[str, StockChange]


def plan_creation(body: CreateProduct, product_id: UUID, now: datetime, currency: str) -> ProductChange:
    """The requested product. Without a slug in the request it gets one from its name, which may be taken yet."""
    if body.slug is not None:
        refuse_reserved(body.slug)
    variants = _check_variants(requested_variants(body), currency, single=body.variants is None)
    publication = plan_publication(body)
    product = ProductRecord(
        id=product_id,
        slug=body.slug or propose_slug(body.name, product_id),
        name=body.name,
        description=body.description,
        category_id=body.category_id,
        tags=unique_tags(body.tags),
        attributes=body.attributes,
        variants=tuple(map(VariantRecord.from_contract, variants)),
        is_active=publication.is_active,
        created_at=now,
        updated_at=now,
        publish_at=publication.publish_at,
        vendor=body.vendor,
        tax_category=body.tax_category,
        seo=body.seo,
    )
    return ProductChange(product, _stock_of(variants))


def plan_replacement(product: ProductRecord, body: ReplaceProduct, now: datetime, currency: str) -> ProductChange:
    """The product after PUT. Without a slug in the request it keeps its slug, so that links to it still work."""
    is_renamed = body.slug != product.slug
    change = plan_creation(body if is_renamed else body.model_copy(update={"slug": None}), product.id, now, currency)
    publication = change_publication(product.publication, body, now)
    return ProductChange(
        replace(
            product,
            slug=body.slug or product.slug,
            name=change.product.name,
            description=change.product.description,
            category_id=change.product.category_id,
            tags=change.product.tags,
            attributes=change.product.attributes,
            variants=_keep_costs(product, requested_variants(body)),
            is_active=publication.is_active,
            publish_at=publication.publish_at,
            vendor=change.product.vendor,
            tax_category=change.product.tax_category,
            seo=change.product.seo,
            updated_at=now,
            version=product.version + 1,
        ),
        change.stock,
    )


def plan_update(product: ProductRecord, body: ChangeProduct, now: datetime, currency: str) -> ProductChange:
    """The product after PATCH: only the fields in the request change."""
    variants = _check_variants(body.variants or [], currency, single=False)
    if body.slug is not None and body.slug != product.slug:
        refuse_reserved(body.slug)
    fields = {name: getattr(body, name) for name in ("slug", "name", "description", "attributes", "tax_category")}
    publication = change_publication(product.publication, body, now)
    after = replace(
        product,
        is_active=publication.is_active,
        publish_at=publication.publish_at,
        updated_at=now,
        version=product.version + 1,
        **{name: value for name, value in fields.items() if value is not None},
    )
    if "category_id" in body.model_fields_set:
        after = replace(after, category_id=body.category_id)
    if "vendor" in body.model_fields_set:
        after = replace(after, vendor=body.vendor)
    if "seo" in body.model_fields_set:
        after = replace(after, seo=body.seo or NO_SEO)
    if body.tags is not None:
        after = replace(after, tags=unique_tags(body.tags))
    if variants:
        after = replace(after, variants=_keep_costs(product, variants))
    if body.price is not None:
        after = replace(after, variants=(_with_price(after, body.price, currency),))
    return ProductChange(after, {**_stock_of(variants), **_stock_of_only_variant(after, body)})


def refuse_reserved(slug: str) -> None:
    """Raises `InvalidRequest` for a slug that has another meaning in a path."""
    if slug in RESERVED_SLUGS:
        words = ", ".join(sorted(RESERVED_SLUGS))
        detail = f"This word is reserved, as are all of these: {words}. Choose another slug."
        raise InvalidRequest(errors=[FieldError(pointer="/slug", detail=detail)])


def requested_variants(body: CreateProduct) -> list[VariantInput]:
    """The variants of a request, in either of its two forms."""
    if body.variants is not None:
        return body.variants
    stated = {name: getattr(body, name) for name in ONLY_VARIANT_FIELDS if name in body.model_fields_set}
    if body.requires_shipping is None:
        stated.pop("requires_shipping", None)
    return [VariantInput(**stated)]


def variant_pointer(index: int, field: str, *, single: bool) -> str:
    """The JSON pointer to a variant's field; `single` is the request's form with one variant beside the name."""
    return f"/{field}" if single else f"/variants/{index}/{field}"


def _keep_costs(product: ProductRecord, variants: Sequence[VariantInput]) -> tuple[VariantRecord, ...]:
    """The variants of a request. One that says nothing about its cost keeps the one that its SKU had."""
    costs = {variant.sku: variant.cost for variant in product.variants}
    return tuple(
        after if "cost" in variant.model_fields_set else replace(after, cost=costs.get(variant.sku))
        for variant, after in ((variant, VariantRecord.from_contract(variant)) for variant in variants)
    )


def _with_price(product: ProductRecord, price: Money, currency: str) -> VariantRecord:
    if len(product.variants) > 1:
        detail = "The product has several variants: set their prices in `variants`."
        raise InvalidRequest(errors=[FieldError(pointer="/price", detail=detail)])
    if price.currency != currency:
        raise CurrencyMismatch(errors=[FieldError(pointer="/price/currency", detail=_currency_detail(currency))])
    return replace(product.variants[0], price=price.amount)


def _check_variants(variants: Sequence[VariantInput], currency: str, *, single: bool) -> Sequence[VariantInput]:
    mismatches = [
        FieldError(
            pointer=variant_pointer(index, f"{field}/currency", single=single), detail=_currency_detail(currency)
        )
        for index, variant in enumerate(variants)
        for field in ("price", "compare_at_price", "cost")
        if (money := getattr(variant, field)) is not None and money.currency != currency
    ]
    if mismatches:
        raise CurrencyMismatch(errors=mismatches)
    skus = [variant.sku for variant in variants]
    duplicates = [
        FieldError(pointer=f"/variants/{index}/sku", detail="Another variant of this product has the same SKU.")
        for index, sku in enumerate(skus)
        if sku in skus[:index]
    ]
    unusable = [
        FieldError(pointer=variant_pointer(index, "sku", single=single), detail=f"{problem}.")
        for index, sku in enumerate(skus)
        if (problem := find_sku_problem(sku))
    ]
    if errors := [*duplicates, *unusable, *_find_unclear_options(variants)]:
        raise InvalidRequest(errors=errors)
    return variants


def _find_unclear_options(variants: Sequence[VariantInput]) -> list[FieldError]:
    """An error for each variant that shoppers could not choose: by its options it is no other than an earlier one."""
    errors = []
    for index, variant in enumerate(variants):
        pointer = f"/variants/{index}/options"
        if variant.options.keys() != variants[0].options.keys():
            names = ", ".join(variants[0].options) or "none"
            detail = f"Give every variant the same option names. Those of the first variant are: {names}."
            errors.append(FieldError(pointer=pointer, detail=detail))
        elif any(variant.options == other.options for other in variants[:index]):
            detail = "Another variant of this product has the same options. Give each variant different ones."
            errors.append(FieldError(pointer=pointer, detail=detail))
    return errors


def _currency_detail(currency: str) -> str:
    return f"The shop sells in {currency}."


def _stock_of(variants: Sequence[VariantInput]) -> dict[str, StockChange]:
    changes = {variant.sku: StockChange.from_contract(variant) for variant in variants}
    return {sku: change for sku, change in changes.items() if change != NO_CHANGE}


def _stock_of_only_variant(product: ProductRecord, body: ChangeProduct) -> dict[str, StockChange]:
    """What the fields beside the name change of the stock."""
    stated = [name for name in ("stock", "backorder") if name in body.model_fields_set]
    if not stated:
        return {}
    if len(product.variants) > 1:
        detail = "The product has several variants: set their stock in `variants`."
        raise InvalidRequest(errors=[FieldError(pointer=f"/{name}", detail=detail) for name in stated])
    return {product.skus[0]: StockChange.from_contract(body)}
