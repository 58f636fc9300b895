"""A group of rows as a product, and what it makes of the product that is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from pydantic import ValidationError

from contracts.catalog import ChangeProduct, ProductImportError
from services.catalog.domain.product_records import ProductRecord, VariantRecord
from services.catalog.domain.shopify.rows import CsvRow, ProductRows
from services.catalog.domain.shopify.variants import (
    FileVariant,
    InvalidRowError,
    describe_error,
    has_variant,
    parse_variant,
)
from services.catalog.domain.slugs import slugify

MAX_HANDLE_LENGTH = 255
MAX_URL_LENGTH = 2048
PLACEHOLDER_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class FileProduct:
    """A product as a file says it. `whole` is not so when rows of it could not be read."""

    handle: str
    line: int
    name: str
    description: str
    product_type: str
    tags: tuple[str, ...]
    attributes: Mapping[str, str]
    is_active: bool
    sources: tuple[Mapping[str, str], ...]
    variants: tuple[FileVariant, ...]
    is_complete: bool = True

    @property
    def slug(self) -> str:
        return slugify(self.handle, "product")

    @property
    def quantities(self) -> dict[str, int]:
        return {one.variant.sku: one.quantity for one in self.variants if one.quantity is not None}

    def line_of(self, sku: str) -> int:
        return next((one.line for one in self.variants if one.variant.sku == sku), self.line)

    def without_skus(self, skus: Sequence[str]) -> "FileProduct":
        kept = tuple(one for one in self.variants if one.variant.sku not in skus)
        return replace(self, variants=kept, is_complete=False)

    def without_quantities(self, skus: Sequence[str]) -> "FileProduct":
        kept = (replace(one, quantity=None) if one.variant.sku in skus else one for one in self.variants)
        return replace(self, variants=tuple(kept))


def parse_product(group: ProductRows, currency: str) -> tuple[FileProduct | None, list[ProductImportError]]:
    """The product, unless there is too little of it, and what is wrong with its rows."""
    first = group.rows[0]
    if problem := _problem(group):
        return None, [ProductImportError(line=first.line, detail=problem)]
    variants, faults = _variants(group, currency)
    try:
        checked = ChangeProduct(
            id=PLACEHOLDER_ID,
            name=first["Title"],
            description=first["Body (HTML)"],
            tags=list(dict.fromkeys(tag for part in first["Tags"].split(",") if (tag := part.strip()))),
            attributes={"Vendor": first["Vendor"]} if first["Vendor"] else {},
            variants=[one.variant for one in variants] or None,
        )
    except ValidationError as error:
        return None, [*faults, ProductImportError(line=first.line, detail=describe_error(error))]
    product = FileProduct(
        handle=group.handle,
        line=first.line,
        name=checked.name or "",
        description=checked.description or "",
        product_type=first["Type"],
        tags=tuple(checked.tags or ()),
        attributes=checked.attributes or {},
        is_active=_is_active(first),
        sources=_sources(group.rows),
        variants=tuple(variants),
        is_complete=not faults,
    )
    return product, faults


def merge_into(before: ProductRecord, product: FileProduct, category_id: UUID | None, now: datetime) -> ProductRecord:
    """The product that is there as the file says it; `before` itself when the file says nothing new.

    Variants that the file does not have go, unless it could not be read wholly. What the file does not speak of stays.
    """
    variants = [VariantRecord.from_contract(one.variant) for one in product.variants]
    if not product.is_complete:
        skus = {variant.sku for variant in variants}
        variants += [variant for variant in before.variants if variant.sku not in skus]
    after = replace(
        before,
        name=product.name,
        description=product.description,
        category_id=category_id or before.category_id,
        tags=product.tags,
        attributes={**before.attributes, **product.attributes},
        is_active=product.is_active,
        variants=tuple(variants),
        handle=product.handle,
        sources=product.sources,
    )
    return before if after == before else replace(after, version=before.version + 1, updated_at=now)


def build_product(product: FileProduct, product_id: UUID, category_id: UUID | None, now: datetime) -> ProductRecord:
    """A product that was not there before."""
    return ProductRecord(
        id=product_id,
        slug=product.slug,
        name=product.name,
        description=product.description,
        category_id=category_id,
        tags=product.tags,
        attributes=product.attributes,
        variants=tuple(VariantRecord.from_contract(one.variant) for one in product.variants),
        is_active=product.is_active,
        created_at=now,
        updated_at=now,
        handle=product.handle,
        sources=product.sources,
    )


def _problem(group: ProductRows) -> str | None:
    """Why none of the rows can be used."""
    rest = f"; {len(group.rows) - 1} more rows of it are left out" if len(group.rows) > 1 else ""
    if not group.handle:
        return "Handle is missing"
    if len(group.handle) > MAX_HANDLE_LENGTH or not group.handle.isprintable():
        return f"Handle is not a line of at most {MAX_HANDLE_LENGTH} characters{rest}"
    if group.is_scattered:
        return f"the rows of {group.handle} do not stand together{rest}"
    if not group.rows[0]["Title"]:
        return f"Title is missing{rest}"
    return None


def _variants(group: ProductRows, currency: str) -> tuple[list[FileVariant], list[ProductImportError]]:
    variants: list[FileVariant] = []
    faults: list[ProductImportError] = []
    for row in group.rows:
        is_first = row is group.rows[0]
        if not (has_variant(row) or is_first) and row["Image Src"]:
            continue
        try:
            variants.append(parse_variant(row, group.rows[0], currency))
            _refuse_twice(variants)
        except InvalidRowError as bad:
            faults.append(ProductImportError(line=row.line, detail=str(bad)))
    return variants, faults


def _refuse_twice(variants: list[FileVariant]) -> None:
    """Takes the last one out again when its SKU is there already."""
    sku = variants[-1].variant.sku
    if any(sku == other.variant.sku for other in variants[:-1]):
        variants.pop()
        raise InvalidRowError(f"{sku} stands twice in this product")


def _sources(rows: Sequence[CsvRow]) -> tuple[Mapping[str, str], ...]:
    found = {
        row["Image Src"]: {"src": row["Image Src"], "alt": row["Image Alt Text"]}
        for row in reversed(rows)
        if row["Image Src"].startswith(("https://", "http://")) and len(row["Image Src"]) <= MAX_URL_LENGTH
    }
    return tuple(reversed(found.values()))


def _is_active(row: CsvRow) -> bool:
    return row["Published"].lower() != "false" and row["Status"].lower() in {"", "active"}
