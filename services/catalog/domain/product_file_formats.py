"""A product file of any kind that the shop reads: Shopify's in both dialects, and WooCommerce's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.catalog.domain.shopify.csv_detection import CsvFormat, choose_format, possible_formats
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.product_reader import FileProduct
from services.catalog.domain.shopify.product_reader import parse_product as parse_shopify_product
from services.catalog.domain.shopify.row_reader import CsvRow, ProductRows, count_scattered, group_rows, read_rows
from services.catalog.domain.woocommerce.columns import WooCommerceFormat, is_woocommerce
from services.catalog.domain.woocommerce.row_conversion import parse_product as parse_woocommerce_product
from services.catalog.domain.woocommerce.row_handles import find_parents, with_handles


def detect_format(content: bytes) -> CsvFormat:
    """The format of a product file; raises `NotCsv` for a file that is none."""
    formats = possible_formats(content)
    for found in formats:
        if is_woocommerce(found.header):
            return WooCommerceFormat(found.encoding, found.delimiter, found.header, found.remark)
    return choose_format(formats)


@dataclass(frozen=True, slots=True)
class ProductCsv:
    """A product file that has been looked through once, which takes seconds for a large one."""

    content: bytes
    format: CsvFormat
    scattered: Mapping[str, int]
    """The handles whose rows do not stand together, with the number of places where they do."""
    parents: Mapping[str, str] = field(default_factory=dict)
    """The handles of WooCommerce's products with variations, by SKU."""

    @staticmethod
    def scan(content: bytes) -> "ProductCsv":
        """Looks through a file; raises `NotCsv` for a file that is none."""
        csv_format = detect_format(content)
        is_woo = isinstance(csv_format, WooCommerceFormat)
        parents = find_parents(read_rows(content, csv_format)) if is_woo else {}
        file = ProductCsv(content, csv_format, {}, parents)
        return replace(file, scattered=count_scattered(file._rows()))

    def keeping(self, columns: Sequence[str]) -> "ProductCsv":
        """The file, of which the cells of these columns are kept."""
        return replace(self, format=replace(self.format, kept_columns=tuple(columns)))

    def groups(self) -> Iterator[ProductRows]:
        """The rows of one product after another."""
        return group_rows(self._rows(), self.scattered)

    def parse(self, group: ProductRows, currency: str) -> tuple[FileProduct | None, Notices]:
        """The product of a group, and the warnings and errors about its rows; None when they do not make a product."""
        if isinstance(self.format, WooCommerceFormat):
            return parse_woocommerce_product(group, currency)
        return parse_shopify_product(group, currency)

    def _rows(self) -> Iterator[CsvRow]:
        rows = read_rows(self.content, self.format)
        return with_handles(rows, self.parents) if isinstance(self.format, WooCommerceFormat) else rows
