"""Reads a group of rows as a product, and merges it into the stored product."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from pydantic import ValidationError

from contracts.catalog import ChangeProduct, ProductStatus, VariantInput
from services.catalog.domain.folded_text import unique_tags
from services.catalog.domain.product_records import ProductRecord, VariantRecord
from services.catalog.domain.publication_schedule import UNSCHEDULED, Publication, with_status
from services.catalog.domain.shopify.cells import MAX_ALT_LENGTH, cut_line, make_line, parse_line, parse_status
from services.catalog.domain.shopify.derived_skus import derive_sku
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.product_fields import StatedFacts, parse_facts
from services.catalog.domain.shopify.row_reader import CsvRow, ProductRows, stored_handle
from services.catalog.domain.shopify.unknown_columns import KeptCells, parse_kept_cells
from services.catalog.domain.shopify.variant_reader import FileVariant, describe_error, parse_variants
from services.catalog.domain.slugs import propose_slug

MAX_NAME_LENGTH = 200
MAX_CATEGORY_NAME_LENGTH = 100
MAX_TAGS = 50
MAX_TAG_LENGTH = 64
MAX_URL_LENGTH = 2048
_DIGEST_LENGTH = 8
_FIELDS = {
    "compare_at_price": "Variant Compare At Price",
    "weight_grams": "Variant Grams",
    "barcode": "Variant Barcode",
    "cost": "Cost per item",
    "requires_shipping": "Variant Requires Shipping",
}
"""Fields of a variant that a file may have no column for."""
PLACEHOLDER_ID = UUID(int=0)
"""Stands for the product's id where a contract model only validates the cells."""


@dataclass(frozen=True, slots=True)
class FileProduct:
    """A product as a file states it; None stands for what the file has no column for.

    It is not complete when some of its rows could not be read. `kept_skus` are variants that the file does not have and
    that cannot be removed.
    """

    handle: str
    row: CsvRow
    name: str
    description: str | None
    product_type: str
    tags: tuple[str, ...] | None
    facts: StatedFacts
    status: ProductStatus | None
    sources: tuple[Mapping[str, str], ...] | None
    variants: tuple[FileVariant, ...]
    is_complete: bool = True
    kept_skus: frozenset[str] = frozenset()
    other_cells: Mapping[str, str] = field(default_factory=dict)
    """The cells of columns that the shop has no field for, without those of the variants."""
    category_parents: tuple[str, ...] = ()
    """The names of the categories above that of the product, from the top."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Attributes to set; those of other names stay."""
    slug_text: str = ""
    """What the slug of a new product is made from; empty for the handle."""
    renamed_from: UUID | None = None
    """The stored product that it is, where that has another handle."""
    claimed_skus: frozenset[str] = frozenset()
    """SKUs that stored products have and the file gives to this one."""

    @property
    def kept_cells(self) -> KeptCells:
        """The cells of columns that the shop has no field for; also an empty entry for a variant without any."""
        return KeptCells(self.other_cells, {item.variant.sku: item.other_cells for item in self.variants})

    @property
    def quantities(self) -> dict[str, int]:
        """Units by SKU, of the variants whose rows have a quantity."""
        return {item.variant.sku: item.quantity for item in self.variants if item.quantity is not None}

    def row_of(self, sku: str) -> CsvRow:
        """The row of the variant with that SKU, else the first of the product."""
        return next((item.row for item in self.variants if item.variant.sku == sku), self.row)

    def with_other_skus(self, skus: Collection[str], notices: Notices) -> "FileProduct":
        """The product with SKUs made for those of its variants whose own are taken."""
        used = {item.variant.sku for item in self.variants}
        variants = []
        for item in self.variants:
            if item.variant.sku not in skus:
                variants.append(item)
                continue
            made, taken = item.made_skus, item.variant.sku
            while (sku := derive_sku(self.handle, item.option_values, made)) in used:
                made += 1
            used.add(sku)
            notices.warn(item.row, "Variant SKU", f"Another product has the SKU {taken}; this variant has {sku}.")
            variant = item.variant.model_copy(update={"sku": sku})
            variants.append(replace(item, variant=variant, made_skus=made + 1))
        return replace(self, variants=tuple(variants))

    def without_quantities(self, skus: Collection[str]) -> "FileProduct":
        """The product with the stock of some of its variants left as it is."""
        variants = (replace(item, quantity=None) if item.variant.sku in skus else item for item in self.variants)
        return replace(self, variants=tuple(variants))


def parse_product(group: ProductRows, currency: str) -> tuple[FileProduct | None, Notices]:
    """The product, and the warnings and errors about its rows; None when the rows do not make a product."""
    notices = Notices(group.handle)
    return read_product(group, currency, notices), notices


def read_product(group: ProductRows, currency: str, notices: Notices) -> FileProduct | None:
    """The product; None when the rows do not make one. Adds the warnings and errors about the rows to `notices`."""
    first = next((row for row in group.rows if row["Title"]), group.rows[0])
    if not group.handle:
        notices.refuse(first, "Handle", f"{first.name_of('Handle')} and {first.name_of('Title')} are missing")
        return None
    _warn_of_handle(group, notices)
    name = parse_line(first, "Title", MAX_NAME_LENGTH, notices)
    if not name:
        others = len(group.rows) - 1
        skipped = f"; {others} more rows of this product are skipped" if others else ""
        notices.refuse(first, "Title", f"{first.name_of('Title')} is missing{skipped}")
        return None
    variants = parse_variants(group.rows, group.handle, currency, notices)
    of_product, of_variants = parse_kept_cells(group.rows, first, [item.row for item in variants], notices)
    product = FileProduct(
        handle=group.handle,
        row=first,
        name=name,
        description=first["Body (HTML)"] if first.has_column("Body (HTML)") else None,
        product_type=_parse_type(first, notices),
        tags=_parse_tags(first, notices) if first.has_column("Tags") else None,
        facts=parse_facts(first, [item.row for item in variants], notices),
        status=parse_status(first, notices),
        sources=_parse_sources(group.rows, notices) if first.has_column("Image Src") else None,
        variants=tuple(replace(item, other_cells=cells) for item, cells in zip(variants, of_variants, strict=True)),
        is_complete=not notices.errors,
        other_cells=of_product,
    )
    return None if _has_invalid_text(product, notices) else product


def merge_into(before: ProductRecord, product: FileProduct, category_id: UUID | None, now: datetime) -> ProductRecord:
    """The stored product after the import; `before` itself when the file changes nothing.

    A complete file product removes the variants that it does not have. Fields that a file cannot state stay.
    """
    stored = {variant.sku: variant for variant in before.variants}
    variants = [_merge_variant(item, stored.get(item.variant.sku)) for item in product.variants]
    skus = {variant.sku for variant in variants}
    variants += [
        variant
        for variant in before.variants
        if variant.sku not in skus and (not product.is_complete or variant.sku in product.kept_skus)
    ]
    publication = _merge_publication(before.publication, product.status, now)
    with_facts = product.facts.apply(before)
    after = replace(
        with_facts,
        name=product.name,
        description=before.description if product.description is None else product.description,
        category_id=category_id or before.category_id,
        tags=before.tags if product.tags is None else product.tags,
        attributes={**with_facts.attributes, **product.attributes},
        is_active=publication.is_active,
        publish_at=publication.publish_at,
        variants=tuple(variants),
        handle=product.handle,
        sources=before.sources if product.sources is None else product.sources,
    )
    return before if after == before else replace(after, version=before.version + 1, updated_at=now)


def keep_stored(
    before: ProductRecord, after: ProductRecord, product: FileProduct, exported: FileProduct | None
) -> ProductRecord:
    """`after` with the stored values that the file states just as an export does; `before` if it changes nothing.

    A file cannot state every value: its cells have no blanks at their ends, and it has columns for three options only.
    """
    if exported is None:
        return after
    stored = {variant.sku: variant for variant in before.variants}
    written = {item.variant.sku: item.variant for item in exported.variants}
    stated = {item.variant.sku: item.variant for item in product.variants}
    merged = replace(
        after,
        name=before.name if product.name == exported.name else after.name,
        description=before.description if product.description == exported.description else after.description,
        category_id=before.category_id if product.product_type == exported.product_type else after.category_id,
        tags=before.tags if product.tags == exported.tags else after.tags,
        variants=tuple(
            _keep_variant(stored[one.sku], one, stated[one.sku], written[one.sku])
            if one.sku in stated and one.sku in written
            else one
            for one in after.variants
        ),
        sources=before.sources if product.sources == exported.sources else after.sources,
    )
    unchanged = replace(before, version=merged.version, updated_at=merged.updated_at, handle=merged.handle)
    return before if merged == unchanged else merged


def build_product(product: FileProduct, product_id: UUID, category_id: UUID | None, now: datetime) -> ProductRecord:
    """A new product from a file."""
    status = product.status or ProductStatus.ACTIVE
    publication = with_status(Publication(is_active=True, publish_at=None), status, now)
    record = ProductRecord(
        id=product_id,
        slug=propose_slug(product.slug_text or product.handle, product_id),
        name=product.name,
        description=product.description or "",
        category_id=category_id,
        tags=product.tags or (),
        attributes=product.attributes,
        variants=tuple(VariantRecord.from_contract(item.variant) for item in product.variants),
        is_active=publication.is_active,
        created_at=now,
        updated_at=now,
        publish_at=publication.publish_at,
        handle=product.handle,
        sources=product.sources or (),
    )
    return product.facts.apply(record)


def _merge_publication(before: Publication, status: ProductStatus | None, now: datetime) -> Publication:
    """A product that waits for its time is active as far as a file can say."""
    is_scheduled = before.is_active and before.is_draft(now) and before.publish_at != UNSCHEDULED
    if status is None or (status is ProductStatus.ACTIVE and is_scheduled):
        return before
    return with_status(before, status, now)


def _merge_variant(item: FileVariant, before: VariantRecord | None) -> VariantRecord:
    after = VariantRecord.from_contract(item.variant)
    if before is None:
        return after
    missing = {field: getattr(before, field) for field, column in _FIELDS.items() if not item.row.has_column(column)}
    return replace(after, **missing, is_freed=before.is_freed)


def _keep_variant(
    stored: VariantRecord, after: VariantRecord, stated: VariantInput, written: VariantInput
) -> VariantRecord:
    """The variant with the former price and the options that the file cannot state."""
    has_other_price = stated.compare_at_price != written.compare_at_price
    options = after.options
    if stated.options.keys() == written.options.keys() <= stored.options.keys():
        changed = {name: value for name, value in stated.options.items() if value != written.options[name]}
        options = {**stored.options, **changed}
    compare_at = after.compare_at_price if has_other_price else stored.compare_at_price
    return replace(after, options=options, compare_at_price=compare_at)


def _warn_of_handle(group: ProductRows, notices: Notices) -> None:
    first, stated = group.rows[0], group.stated_handle
    if not stated:
        notices.warn(first, "Handle", f"The row has no handle; its product has the handle {group.handle}.")
    elif stored_handle(stated) != stated:
        notices.warn(first, "Handle", f"The handle is not one line of usual length; it is stored as {group.handle}.")
    if group.is_scattered:
        notices.warn(first, "Handle", "The rows of this product do not stand together; they were put together.")


def _has_invalid_text(product: FileProduct, notices: Notices) -> bool:
    """Whether the name cannot be used at all, for example because it has only invisible characters."""
    try:
        ChangeProduct(
            id=PLACEHOLDER_ID,
            name=product.name,
            tags=list(product.tags or ()),
        )
    except ValidationError as error:
        notices.refuse(product.row, "Title", describe_error(error))
        return True
    return False


def _parse_type(row: CsvRow, notices: Notices) -> str:
    """The name of the category. One that is cut stays different from others with the same beginning."""
    name = make_line(row["Type"])
    if len(name) <= MAX_CATEGORY_NAME_LENGTH:
        return name
    notices.warn(row, "Type", f"The name of a category has at most {MAX_CATEGORY_NAME_LENGTH} characters; it was cut.")
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{cut_line(name, MAX_CATEGORY_NAME_LENGTH - _DIGEST_LENGTH - 1)} {digest}"


def _parse_tags(row: CsvRow, notices: Notices) -> tuple[str, ...]:
    tags: list[str] = []
    for part in row["Tags"].split(","):
        tag = make_line(part)
        if len(tag) > MAX_TAG_LENGTH:
            notices.warn(row, "Tags", f"A tag was cut to {MAX_TAG_LENGTH} characters.", tag)
            tag = cut_line(tag, MAX_TAG_LENGTH)
        if tag:
            tags.append(tag)
    tags = list(unique_tags(tags))
    if left := tags[MAX_TAGS:]:
        notices.warn(row, "Tags", f"A product has at most {MAX_TAGS} tags; these were left out.", ", ".join(left))
    return tuple(tags[:MAX_TAGS])


def _parse_sources(rows: Sequence[CsvRow], notices: Notices) -> tuple[Mapping[str, str], ...]:
    """The images of a product by URL, each once, with the text of its first row."""
    sources: dict[str, Mapping[str, str]] = {}
    for row in rows:
        url = row["Image Src"]
        if url.startswith(("https://", "http://")) and len(url) <= MAX_URL_LENGTH:
            alt = parse_line(row, "Image Alt Text", MAX_ALT_LENGTH, notices)
            sources.setdefault(url, {"src": url, "alt": alt})
        elif url:
            notices.warn(row, "Image Src", "The image was left out: this is not an address of usual length.")
    return tuple(sources.values())
