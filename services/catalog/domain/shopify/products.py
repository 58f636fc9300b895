"""Reads a group of rows as a product, and merges it into the stored product."""

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
"""Stands for the product's id where a contract model only validates the cells."""


@dataclass(frozen=True, slots=True)
class FileProduct:
    """A product as a file states it. It is not complete when some of its rows could not be read."""

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
        """The slug that the handle makes."""
        return slugify(self.handle, "product")

    @property
    def quantities(self) -> dict[str, int]:
        """Units by SKU, of the variants whose rows have a quantity."""
        return {item.variant.sku: item.quantity for item in self.variants if item.quantity is not None}

    def line_of(self, sku: str) -> int:
        """The line of the variant with that SKU, else of the product."""
        return next((item.line for item in self.variants if item.variant.sku == sku), self.line)

    def without_skus(self, skus: Sequence[str]) -> "FileProduct":
        """The product without some of its variants, which makes it incomplete."""
        rest = tuple(item for item in self.variants if item.variant.sku not in skus)
        return replace(self, variants=rest, is_complete=False)

    def without_quantities(self, skus: Sequence[str]) -> "FileProduct":
        """The product with the stock of some of its variants left as it is."""
        variants = (replace(item, quantity=None) if item.variant.sku in skus else item for item in self.variants)
        return replace(self, variants=tuple(variants))


def parse_product(group: ProductRows, currency: str) -> tuple[FileProduct | None, list[ProductImportError]]:
    """The product and the errors in its rows; None when the rows do not make a product."""
    first = group.rows[0]
    if problem := _find_problem(group):
        return None, [ProductImportError(line=first.line, detail=problem)]
    variants, faults = _parse_variants(group, currency)
    try:
        checked = ChangeProduct(
            id=PLACEHOLDER_ID,
            name=first["Title"],
            description=first["Body (HTML)"],
            tags=list(dict.fromkeys(tag for part in first["Tags"].split(",") if (tag := part.strip()))),
            attributes={"Vendor": first["Vendor"]} if first["Vendor"] else {},
            variants=[item.variant for item in variants] or None,
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
        sources=_parse_sources(group.rows),
        variants=tuple(variants),
        is_complete=not faults,
    )
    return product, faults


def merge_into(before: ProductRecord, product: FileProduct, category_id: UUID | None, now: datetime) -> ProductRecord:
    """The stored product after the import; `before` itself when the file changes nothing.

    A complete file product removes the variants that it does not have. Fields that a file cannot state stay.
    """
    variants = [VariantRecord.from_contract(item.variant) for item in product.variants]
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
    """A new product from a file."""
    return ProductRecord(
        id=product_id,
        slug=product.slug,
        name=product.name,
        description=product.description,
        category_id=category_id,
        tags=product.tags,
        attributes=product.attributes,
        variants=tuple(VariantRecord.from_contract(item.variant) for item in product.variants),
        is_active=product.is_active,
        created_at=now,
        updated_at=now,
        handle=product.handle,
        sources=product.sources,
    )


def _find_problem(group: ProductRows) -> str | None:
    """Why none of the rows can be used."""
    others = len(group.rows) - 1
    skipped = f"; {others} more rows of this product are skipped" if others else ""
    if not group.handle:
        return "Handle is missing"
    if len(group.handle) > MAX_HANDLE_LENGTH or not group.handle.isprintable():
        return f"Handle is not one line of at most {MAX_HANDLE_LENGTH} printable characters{skipped}"
    if group.is_scattered:
        return f"The rows of {group.handle} do not stand together{skipped}"
    if not group.rows[0]["Title"]:
        return f"Title is missing{skipped}"
    return None


def _parse_variants(group: ProductRows, currency: str) -> tuple[list[FileVariant], list[ProductImportError]]:
    variants: list[FileVariant] = []
    faults: list[ProductImportError] = []
    for row in group.rows:
        is_first = row is group.rows[0]
        if not (has_variant(row) or is_first) and row["Image Src"]:
            continue
        try:
            variant = parse_variant(row, group.rows[0], currency)
            _refuse_duplicate(variant, variants)
            variants.append(variant)
        except InvalidRowError as error:
            faults.append(ProductImportError(line=row.line, detail=str(error)))
    return variants, faults


def _refuse_duplicate(variant: FileVariant, others: Sequence[FileVariant]) -> None:
    sku = variant.variant.sku
    if any(sku == other.variant.sku for other in others):
        raise InvalidRowError(f"Another variant of this product has the SKU {sku}")


def _parse_sources(rows: Sequence[CsvRow]) -> tuple[Mapping[str, str], ...]:
    """The images of a product by URL, each once, with the text of its first row."""
    by_url = {
        row["Image Src"]: {"src": row["Image Src"], "alt": row["Image Alt Text"]}
        for row in reversed(rows)
        if row["Image Src"].startswith(("https://", "http://")) and len(row["Image Src"]) <= MAX_URL_LENGTH
    }
    return tuple(reversed(by_url.values()))


def _is_active(row: CsvRow) -> bool:
    return row["Published"].lower() != "false" and row["Status"].lower() in {"", "active"}
