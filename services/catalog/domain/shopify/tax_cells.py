"""The columns that say how a product is taxed: a code, and whether it is taxed at all.

A file has them in each row of a variant, but the shop taxes all variants of a product alike: the first row counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from contracts.tax_category import DEFAULT_TAX_CATEGORY, EXEMPT_TAX_CATEGORY, TaxCategory
from services.catalog.domain.shopify.cells import parse_flag
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.row_reader import CsvRow

_CODE, _IS_CHARGED = "Variant Tax Code", "Variant Taxable"
_TAX_CATEGORY = TypeAdapter[str](TaxCategory)


@dataclass(frozen=True, slots=True)
class StatedTax:
    """What a file says of a product's tax; None where it has no such column, or its cell cannot be used."""

    code: str | None = None
    is_charged: bool | None = None

    def category_after(self, before: str) -> str:
        """The tax category of a product that had another one before. An empty code is the standard category."""
        if self.is_charged is False:
            return EXEMPT_TAX_CATEGORY
        if self.code is not None:
            return self.code or DEFAULT_TAX_CATEGORY
        return DEFAULT_TAX_CATEGORY if self.is_charged and before == EXEMPT_TAX_CATEGORY else before


def parse_tax(first: CsvRow, variants: Iterable[CsvRow], notices: Notices) -> StatedTax:
    """The tax of a product, whose `first` row and whose rows of variants are given."""
    for row in variants:
        for column in (_CODE, _IS_CHARGED):
            if row[column] and row[column].lower() != first[column].lower():
                notices.warn(row, column, "All variants of a product are taxed alike: this one as the first row says.")
    return StatedTax(
        _parse_code(first, notices) if first.has_column(_CODE) else None,
        parse_flag(first, _IS_CHARGED, notices) if first.has_column(_IS_CHARGED) else None,
    )


def tax_cells(category: str) -> Mapping[str, str]:
    """The cells of a variant whose product has this tax category."""
    is_taxed = category != EXEMPT_TAX_CATEGORY
    is_named = is_taxed and category != DEFAULT_TAX_CATEGORY
    return {_CODE: category if is_named else "", _IS_CHARGED: "TRUE" if is_taxed else "FALSE"}


def _parse_code(row: CsvRow, notices: Notices) -> str | None:
    code = row[_CODE].lower()
    try:
        return _TAX_CATEGORY.validate_python(code) if code else ""
    except ValidationError:
        notices.warn(row, _CODE, "The tax category was left as it is: this is not letters, digits and single hyphens.")
        return None
