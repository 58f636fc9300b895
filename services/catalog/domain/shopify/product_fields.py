"""What a file says of a product beside its texts: its vendor, its tax, and its texts for search engines."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from contracts.catalog import MAX_SEO_DESCRIPTION, MAX_SEO_TITLE, ProductSeo
from services.catalog.domain.product_records import VENDOR_ATTRIBUTE, ProductRecord
from services.catalog.domain.shopify.cells import parse_line
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.row_reader import CsvRow
from services.catalog.domain.shopify.tax_cells import StatedTax, parse_tax

MAX_VENDOR_LENGTH = 255


@dataclass(frozen=True, slots=True)
class StatedFacts:
    """A text is None where the file has no column for it, and empty where its cell is."""

    vendor: str | None
    seo_title: str | None
    seo_description: str | None
    tax: StatedTax

    def apply(self, product: ProductRecord) -> ProductRecord:
        """The product with these facts."""
        attributes, seo = product.attributes, product.seo
        if self.vendor is not None and self.vendor != (product.vendor or ""):
            # An older release kept the vendor as an attribute, which would say something else now.
            attributes = {name: value for name, value in attributes.items() if name != VENDOR_ATTRIBUTE}
        return replace(
            product,
            attributes=attributes,
            vendor=_choose(self.vendor, product.vendor),
            tax_category=self.tax.category_after(product.tax_category),
            seo=ProductSeo(
                title=_choose(self.seo_title, seo.title), description=_choose(self.seo_description, seo.description)
            ),
        )


def parse_facts(first: CsvRow, variants: Iterable[CsvRow], notices: Notices) -> StatedFacts:
    """The facts of a product, whose `first` row and whose rows of variants are given."""

    def parse(column: str, max_length: int) -> str | None:
        return parse_line(first, column, max_length, notices) if first.has_column(column) else None

    return StatedFacts(
        parse("Vendor", MAX_VENDOR_LENGTH),
        parse("SEO Title", MAX_SEO_TITLE),
        parse("SEO Description", MAX_SEO_DESCRIPTION),
        parse_tax(first, variants, notices),
    )


def _choose(stated: str | None, before: str | None) -> str | None:
    return before if stated is None else stated or None
