"""A group of rows as a product, and what it makes of the product that is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from pydantic import ValidationError

from contracts.catalog import ChangeProduct, ImportFault
from services.catalog.domain.product_records import Article, ArticleVariant
from services.catalog.domain.shopify.rows import Group, Row
from services.catalog.domain.shopify.variants import BadRow, FileVariant, has_variant, told, variant_of
from services.catalog.domain.slugs import slug_of

LONGEST_HANDLE = 255
LONGEST_URL = 2048
NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class FileProduct:
    """A product as a file says it. `whole` is not so when rows of it could not be read."""

    handle: str
    line: int
    name: str
    description: str
    kind: str
    tags: tuple[str, ...]
    attributes: Mapping[str, str]
    is_active: bool
    sources: tuple[Mapping[str, str], ...]
    variants: tuple[FileVariant, ...]
    whole: bool = True

    @property
    def slug(self) -> str:
        return slug_of(self.handle, "product")

    @property
    def quantities(self) -> dict[str, int]:
        return {one.variant.sku: one.quantity for one in self.variants if one.quantity is not None}

    def line_of(self, sku: str) -> int:
        return next((one.line for one in self.variants if one.variant.sku == sku), self.line)

    def without(self, skus: Sequence[str]) -> "FileProduct":
        kept = tuple(one for one in self.variants if one.variant.sku not in skus)
        return replace(self, variants=kept, whole=False)

    def without_quantities(self, skus: Sequence[str]) -> "FileProduct":
        kept = (replace(one, quantity=None) if one.variant.sku in skus else one for one in self.variants)
        return replace(self, variants=tuple(kept))


def product_of(group: Group, currency: str) -> tuple[FileProduct | None, list[ImportFault]]:
    """The product, unless there is too little of it, and what is wrong with its rows."""
    first = group.rows[0]
    if problem := _problem(group):
        return None, [ImportFault(line=first.line, detail=problem)]
    variants, faults = _variants(group, currency)
    try:
        checked = ChangeProduct(
            id=NOBODY,
            name=first["Title"],
            description=first["Body (HTML)"],
            tags=list(dict.fromkeys(tag for part in first["Tags"].split(",") if (tag := part.strip()))),
            attributes={"Vendor": first["Vendor"]} if first["Vendor"] else {},
            variants=[one.variant for one in variants] or None,
        )
    except ValidationError as error:
        return None, [*faults, ImportFault(line=first.line, detail=told(error))]
    product = FileProduct(
        handle=group.handle,
        line=first.line,
        name=checked.name or "",
        description=checked.description or "",
        kind=first["Type"],
        tags=tuple(checked.tags or ()),
        attributes=checked.attributes or {},
        is_active=_is_active(first),
        sources=_sources(group.rows),
        variants=tuple(variants),
        whole=not faults,
    )
    return product, faults


def merged(before: Article, product: FileProduct, category_id: UUID | None, now: datetime) -> Article:
    """The product that is there as the file says it; `before` itself when the file says nothing new.

    Variants that the file does not have go, unless it could not be read wholly. What the file does not speak of stays.
    """
    variants = [ArticleVariant.of(one.variant) for one in product.variants]
    if not product.whole:
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


def made(product: FileProduct, product_id: UUID, category_id: UUID | None, now: datetime) -> Article:
    """A product that was not there before."""
    return Article(
        id=product_id,
        slug=product.slug,
        name=product.name,
        description=product.description,
        category_id=category_id,
        tags=product.tags,
        attributes=product.attributes,
        variants=tuple(ArticleVariant.of(one.variant) for one in product.variants),
        is_active=product.is_active,
        created_at=now,
        updated_at=now,
        handle=product.handle,
        sources=product.sources,
    )


def _problem(group: Group) -> str | None:
    """Why none of the rows can be used."""
    rest = f"; {len(group.rows) - 1} more rows of it are left out" if len(group.rows) > 1 else ""
    if not group.handle:
        return "Handle is missing"
    if len(group.handle) > LONGEST_HANDLE or not group.handle.isprintable():
        return f"Handle is not a line of at most {LONGEST_HANDLE} characters{rest}"
    if group.scattered:
        return f"the rows of {group.handle} do not stand together{rest}"
    if not group.rows[0]["Title"]:
        return f"Title is missing{rest}"
    return None


def _variants(group: Group, currency: str) -> tuple[list[FileVariant], list[ImportFault]]:
    variants: list[FileVariant] = []
    faults: list[ImportFault] = []
    for row in group.rows:
        is_first = row is group.rows[0]
        if not (has_variant(row) or is_first) and row["Image Src"]:
            continue
        try:
            variants.append(variant_of(row, group.rows[0], currency))
            _refuse_twice(variants)
        except BadRow as bad:
            faults.append(ImportFault(line=row.line, detail=str(bad)))
    return variants, faults


def _refuse_twice(variants: list[FileVariant]) -> None:
    """Takes the last one out again when its SKU is there already."""
    sku = variants[-1].variant.sku
    if any(sku == other.variant.sku for other in variants[:-1]):
        variants.pop()
        raise BadRow(f"{sku} stands twice in this product")


def _sources(rows: Sequence[Row]) -> tuple[Mapping[str, str], ...]:
    found = {
        row["Image Src"]: {"src": row["Image Src"], "alt": row["Image Alt Text"]}
        for row in reversed(rows)
        if row["Image Src"].startswith(("https://", "http://")) and len(row["Image Src"]) <= LONGEST_URL
    }
    return tuple(reversed(found.values()))


def _is_active(row: Row) -> bool:
    return row["Published"].lower() != "false" and row["Status"].lower() in {"", "active"}
