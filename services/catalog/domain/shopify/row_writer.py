"""Writes products as the rows of a product file: as many rows as the product has variants or images."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from contracts.catalog import ProductFileDialect
from contracts.formula_cells import escape_formula
from contracts.money import CURRENCY_EXPONENTS
from services.catalog.domain.product_records import ProductRecord, VariantRecord
from services.catalog.domain.shopify.cells import MAX_ALT_LENGTH, cut_line, make_line
from services.catalog.domain.shopify.columns import NEWER_HEADER, OLDER_HEADER, known_columns
from services.catalog.domain.shopify.csv_detection import CsvFormat
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.options import NO_OPTIONS, OPTION_NUMBERS
from services.catalog.domain.shopify.product_reader import FileProduct, parse_product
from services.catalog.domain.shopify.row_reader import CsvRow, ProductRows
from services.catalog.domain.shopify.tax_cells import tax_cells
from services.catalog.domain.shopify.unknown_columns import NO_CELLS, KeptCells
from services.catalog.domain.stock import StockRecord

Cells = Mapping[str, str]
"""The cells of a row by the older names of their columns; those that are empty may be missing."""

_HEADERS = {ProductFileDialect.CURRENT: NEWER_HEADER, ProductFileDialect.LEGACY: OLDER_HEADER}
_FORMAT = CsvFormat("utf-8", ",", NEWER_HEADER)
_LEGACY_POLICIES = {"TRUE": "continue", "FALSE": "deny"}


@dataclass(frozen=True, slots=True)
class ShopFacts:
    """What a product file needs to know about the shop. Without its address, images that it serves have no URL."""

    currency: str
    shop_url: str
    now: datetime


@dataclass(frozen=True, slots=True)
class ExportedProduct:
    """A product with what a file says beside it: its handle, its category's name and its stock by SKU."""

    product: ProductRecord
    handle: str
    category: str = ""
    stock: Mapping[str, StockRecord] | None = None
    kept_cells: KeptCells = NO_CELLS


def header_line(dialect: ProductFileDialect, kept_columns: Sequence[str] = ()) -> str:
    """The first line of a file; `kept_columns` follow those of the dialect."""
    return _to_line(map(escape_formula, (*_HEADERS[dialect], *_other_columns(dialect, kept_columns))))


def product_lines(
    exported: ExportedProduct, dialect: ProductFileDialect, shop: ShopFacts, kept_columns: Sequence[str] = ()
) -> list[str]:
    """The lines of a product."""
    columns = (*known_columns(_HEADERS[dialect]), *_other_columns(dialect, kept_columns))
    lines = []
    for cells in _product_cells(exported, shop):
        if "Variant Price" in cells and dialect is ProductFileDialect.LEGACY:
            cells["Variant Inventory Policy"] = _LEGACY_POLICIES[cells["Variant Inventory Policy"]]
        lines.append(_to_line(escape_formula(cells.get(column, "").strip()) for column in columns))
    return lines


def read_back(exported: ExportedProduct, shop: ShopFacts) -> tuple[FileProduct | None, Notices]:
    """The product as an import reads it from the lines of its export."""
    rows = [
        CsvRow(number, {column: cell.strip() for column, cell in cells.items()}, _FORMAT)
        for number, cells in enumerate(_product_cells(exported, shop))
    ]
    return parse_product(ProductRows(exported.handle, tuple(rows), len(rows)), shop.currency)


def exported_cells(exported: ExportedProduct, shop: ShopFacts) -> tuple[Cells, Mapping[str, Cells]]:
    """What an export says of the product, and of each variant by SKU, by the older names of the columns."""
    product = exported.product
    images = [image["Image Src"] for image in _image_cells(product, shop)]
    own = {**exported.kept_cells.product, **_own_cells(exported, shop), "Image Src": " ".join(images)}
    variants = {
        variant.sku: {
            **exported.kept_cells.variants.get(variant.sku, {}),
            **_variant_cells(variant, exported, shop),
            **_option_cells(variant.options or NO_OPTIONS, with_names=True),
        }
        for variant in product.variants
    }
    return own, variants


def _other_columns(dialect: ProductFileDialect, kept_columns: Sequence[str]) -> list[str]:
    own = known_columns(_HEADERS[dialect])
    return [column for column in kept_columns if column not in own]


def _product_cells(exported: ExportedProduct, shop: ShopFacts) -> Iterator[dict[str, str]]:
    """The rows: the first one also has what concerns the whole product. Kept cells fill what the shop does not know."""
    product = exported.product
    images = list(_image_cells(product, shop))
    other_cells = exported.kept_cells.by_row(product.skus)
    for index in range(max(len(product.variants), len(images))):
        cells = {"Handle": exported.handle}
        if index == 0:
            cells |= {**other_cells[0], **_own_cells(exported, shop)}
        if index < len(product.variants):
            variant = product.variants[index]
            cells |= {**other_cells[index], **_variant_cells(variant, exported, shop)}
            cells |= _option_cells(variant.options or NO_OPTIONS, with_names=index == 0)
        if index < len(images):
            cells |= images[index]
        yield cells


def _own_cells(exported: ExportedProduct, shop: ShopFacts) -> Cells:
    """Everything but the variants and the images. A product that waits for its time is a draft."""
    product = exported.product
    status = "archived"
    if product.is_active:
        status = "draft" if product.publication.is_draft(shop.now) else "active"
    return {
        "Title": product.name,
        "Body (HTML)": product.description,
        "Vendor": product.vendor or "",
        "Type": exported.category,
        "Tags": ", ".join(product.tags),
        "Published": "TRUE" if status == "active" else "FALSE",
        "Status": status,
        "SEO Title": product.seo.title or "",
        "SEO Description": product.seo.description or "",
    }


def _variant_cells(variant: VariantRecord, exported: ExportedProduct, shop: ShopFacts) -> Cells:
    """A variant without its options. One whose SKU another product has taken has no stock.

    No file can state that units are missing of a SKU that is not sold below zero: an import leaves them missing.
    """
    stock = None if variant.is_freed else (exported.stock or {}).get(variant.sku)
    is_tracked, backorder = (stock.is_tracked, stock.backorder) if stock else (True, False)
    is_counted = stock is not None and is_tracked and (stock.on_hand >= 0 or backorder)
    compare_at, weight = variant.compare_at_price, variant.weight_grams
    return {
        "Variant SKU": _with_apostrophe(variant.sku),
        "Variant Barcode": _with_apostrophe(variant.barcode or ""),
        "Variant Price": _decimal(variant.price, shop.currency),
        "Variant Compare At Price": "" if compare_at is None else _decimal(compare_at, shop.currency),
        "Variant Inventory Tracker": "shopify" if is_tracked else "",
        "Variant Inventory Qty": str(stock.on_hand) if stock and is_counted else "",
        "Variant Inventory Policy": "TRUE" if backorder else "FALSE",
        "Variant Grams": "" if weight is None else str(weight),
        "Cost per item": "" if variant.cost is None else _decimal(variant.cost, shop.currency),
        "Variant Requires Shipping": "TRUE" if variant.requires_shipping else "FALSE",
        **tax_cells(exported.product.tax_category),
    }


def _option_cells(options: Mapping[str, str], *, with_names: bool) -> Cells:
    """The first three options; the format has no columns for others."""
    cells = {}
    for number, (name, value) in zip(OPTION_NUMBERS, options.items(), strict=False):
        cells[f"Option{number} Value"] = value
        if with_names:
            cells[f"Option{number} Name"] = name
    return cells


def _image_cells(product: ProductRecord, shop: ShopFacts) -> Iterator[Cells]:
    """The images that the shop serves, then those that a product file has named, each URL once."""
    served = [(f"{shop.shop_url.rstrip('/')}{image.to_contract().url}", image.alt) for image in product.images]
    named = [(source["src"], source["alt"]) for source in product.sources]
    alts: dict[str, str] = {}
    for url, alt in [*(served if shop.shop_url else ()), *named]:
        alts.setdefault(url, alt)
    for position, (url, alt) in enumerate(alts.items(), 1):
        cut = cut_line(make_line(alt), MAX_ALT_LENGTH)
        yield {"Image Src": url, "Image Position": str(position), "Image Alt Text": cut}


def _with_apostrophe(cell: str) -> str:
    """A cell of which an import takes off one apostrophe."""
    return f"'{cell}" if cell.startswith("'") else cell


def _decimal(amount: int, currency: str) -> str:
    return f"{Decimal(amount).scaleb(-CURRENCY_EXPONENTS[currency]):f}"


def _to_line(cells: Iterable[str]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()
