"""What a WooCommerce row says of a variant, as the cells of Shopify's columns: price, stock and weight."""

from decimal import ROUND_HALF_UP, Decimal

from services.catalog.domain.number_parser import parse_number
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.row_reader import CsvRow
from services.catalog.domain.woocommerce.columns import WEIGHT, WooCommerceFormat
from services.catalog.domain.woocommerce.row_handles import product_types

_GRAMS_PER_UNIT = {"g": "1", "kg": "1000", "oz": "28.349523125", "lbs": "453.59237"}
_BACKORDER_WORDS = frozenset({"1", "yes", "notify"})
_SHARED_STOCK = "parent"
_UNPUBLISHED = frozenset({"0", "-1"})


def variant_cells(row: CsvRow, parent: CsvRow, notices: Notices) -> dict[str, str]:
    """The cells of a variant without its options; `parent` is the row of its product, which may be the same."""
    return {
        "Variant SKU": row["SKU"],
        "Variant Barcode": row["GTIN, UPC, EAN, or ISBN"],
        "Variant Grams": _to_grams(row if row[WEIGHT] else parent),
        "Variant Requires Shipping": "FALSE" if "virtual" in product_types(row) else "TRUE",
        **_price_cells(row, notices),
        **_stock_cells(row, parent, notices),
    }


def _price_cells(row: CsvRow, notices: Notices) -> dict[str, str]:
    """The price, and the former one of a sale. A sale with dates is left out: it may not have begun, or be over."""
    regular, sale = row["Regular price"], row["Sale price"]
    if sale and (row["Date sale price starts"] or row["Date sale price ends"]):
        detail = "This was left out, because the sale has dates: schedule it in the shop."
        notices.add_warning(row.line, row.name_of("Sale price"), sale, detail)
        sale = ""
    return {"Variant Price": sale or regular, "Variant Compare At Price": regular if sale else ""}


def _stock_cells(row: CsvRow, parent: CsvRow, notices: Notices) -> dict[str, str]:
    """The stock as far as WooCommerce counts it. A variation that is not published has none."""
    backorders = row["Backorders allowed?"].lower()
    policy = "continue" if backorders in _BACKORDER_WORDS else "deny"
    state, units = row["In stock?"].lower(), row["Stock"]
    if row is not parent and row["Published"] in _UNPUBLISHED:
        notices.warn(row, "Published", "This variation is not published; no units of it are sold.")
        return _counted("0", "deny")
    if units.lower() == _SHARED_STOCK:
        detail = f"The variations share the {parent['Stock'] or 'unknown'} units of their product; count each one here."
        notices.add_warning(row.line, row.name_of("Stock"), units, detail)
        return _counted("", policy)
    if units:
        return _counted(units, policy)
    if state == "backorder":
        return _counted("0", "continue")
    return (
        _counted("0", "deny") if state == "0" else {"Variant Inventory Tracker": "", "Variant Inventory Policy": "deny"}
    )


def _counted(units: str, policy: str) -> dict[str, str]:
    return {
        "Variant Inventory Tracker": "shopify",
        "Variant Inventory Qty": units,
        "Variant Inventory Policy": policy,
    }


def _to_grams(row: CsvRow) -> str:
    """The weight in whole grams; as it is where it is no number, which is then told to the sender."""
    assert isinstance(row.format, WooCommerceFormat), "the rows are those of a WooCommerce file"
    try:
        number = parse_number(row[WEIGHT], has_decimal_comma=row.format.has_decimal_comma)
    except ValueError:
        return row[WEIGHT]
    grams = number.value * Decimal(_GRAMS_PER_UNIT[row.format.weight_unit])
    return f"{grams.to_integral_value(ROUND_HALF_UP):f}"
