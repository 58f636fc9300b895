"""Products are written as the rows of a product file that an import reads as the same products, without servers."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.catalog import ExportChanged, ProductFileDialect, ProductSeo, ProductStatus
from contracts.formula_cells import escape_formula, unescape_formula
from contracts.size_limits import MAX_PAGE_BYTES
from infra.foundation.ids import new_id
from services.catalog.domain.product_file_formats import ProductCsv
from services.catalog.domain.product_records import ImageRecord, ProductRecord, VariantRecord
from services.catalog.domain.publication_schedule import UNSCHEDULED
from services.catalog.domain.shopify.export_pages import FilePage, FilePosition, write_page
from services.catalog.domain.shopify.made_handles import make_handle, split_handle
from services.catalog.domain.shopify.product_reader import FileProduct
from services.catalog.domain.shopify.row_writer import ExportedProduct, ShopFacts, header_line, product_lines
from services.catalog.domain.stock import StockRecord

NOW = datetime(2026, 11, 30, tzinfo=UTC)
SHOP = ShopFacts("USD", "", NOW)
CURRENT, LEGACY = ProductFileDialect.CURRENT, ProductFileDialect.LEGACY
LAMP = ProductRecord(
    id=new_id(),
    slug="lamp",
    name="Lamp",
    description="",
    category_id=None,
    tags=(),
    attributes={},
    variants=(VariantRecord("A", {}, 1999, None, None),),
    is_active=True,
    created_at=NOW,
    updated_at=NOW,
)


def lamp(**changed: object) -> ExportedProduct:
    return ExportedProduct(replace(LAMP, **changed), "lamp", "Lamps", {"A": StockRecord(3, 0)})  # type: ignore[arg-type]


def read(text: str, currency: str = "USD") -> list[FileProduct]:
    """The products of a file, which has to be without faults."""
    file = ProductCsv.scan(text.encode())
    parsed = [file.parse(group, currency) for group in file.groups()]
    assert not [notice for _, notices in parsed for notice in (*notices.warnings, *notices.errors)]
    return [product for product, _ in parsed if product]


def write(exported: ExportedProduct, dialect: ProductFileDialect = CURRENT, shop: ShopFacts = SHOP) -> str:
    return "".join([header_line(dialect), *product_lines(exported, dialect, shop)])


def reread(exported: ExportedProduct, shop: ShopFacts = SHOP, dialect: ProductFileDialect = CURRENT) -> FileProduct:
    (product,) = read(write(exported, dialect, shop), shop.currency)
    return product


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+49", "'+49"),
        ("-a", "'-a"),
        ("@me", "'@me"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("'=x", "''=x"),
        ("''=x", "'''=x"),
        ("-5", "-5"),
        ("-5.25", "-5.25"),
        ("'n Drum", "'n Drum"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_formula_is_escaped(cell: str, written: str) -> None:
    assert escape_formula(cell) == written
    assert unescape_formula(written) == cell


@given(st.text("'=+-@\t\r5.a"))
def test_what_is_escaped_is_read_as_it_was(cell: str) -> None:
    assert unescape_formula(escape_formula(cell)) == cell


@pytest.mark.parametrize(("currency", "price"), [("USD", "19.99"), ("JPY", "1999"), ("KWD", "1.999")])
@pytest.mark.parametrize("dialect", [CURRENT, LEGACY])
def test_prices_have_the_decimals_of_their_currency(currency: str, price: str, dialect: ProductFileDialect) -> None:
    shop = ShopFacts(currency, "", NOW)
    assert f",{price}," in write(lamp(), dialect, shop)
    (item,) = reread(lamp(), shop, dialect).variants
    assert (item.variant.price.amount, item.variant.price.currency, item.quantity) == (1999, currency, 3)


line = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zs", "Zl", "Zp", "Cf")), min_size=1, max_size=20)


@given(
    name=line,
    description=st.text(max_size=50).map(str.strip).filter(lambda text: "\0" not in text),
    vendor=line,
    tag=line.filter(lambda text: "," not in text),
    skus=st.lists(line.filter(lambda text: text not in {".", ".."} and "/" not in text), min_size=2, unique=True),
    alt=line,
)
def test_texts_are_read_as_they_were(
    name: str, description: str, vendor: str, tag: str, skus: list[str], alt: str
) -> None:
    product = lamp(
        name=name,
        description=description,
        vendor=vendor,
        tags=(tag,),
        variants=tuple(VariantRecord(sku, {"Size": str(number)}, 5, 7, 9) for number, sku in enumerate(skus)),
        sources=({"src": "https://x.example/1", "alt": alt},),
    )
    found = reread(product)
    assert (found.name, found.description, found.facts.vendor, found.tags, found.product_type) == (
        name,
        description,
        vendor,
        (tag,),
        "Lamps",
    )
    assert found.sources == product.product.sources
    assert [VariantRecord.from_contract(item.variant) for item in found.variants] == list(product.product.variants)


@given(
    st.fixed_dictionaries(
        {
            "vendor": st.none() | line,
            "tax_category": st.sampled_from(["standard", "exempt", "books", "p0000000"]),
            "seo": st.builds(ProductSeo, title=st.none() | line, description=st.none() | line),
        }
    ),
    st.fixed_dictionaries(
        {"barcode": st.none() | line, "cost": st.none() | st.integers(0, 10**6), "requires_shipping": st.booleans()}
    ),
    st.sampled_from([CURRENT, LEGACY]),
)
def test_fields_are_read_as_they_were(
    of_product: dict[str, Any], of_variant: dict[str, Any], dialect: ProductFileDialect
) -> None:
    variant = replace(LAMP.variants[0], **of_variant)
    found = reread(lamp(variants=(variant,), **of_product), dialect=dialect)
    assert found.facts.apply(LAMP) == replace(LAMP, **of_product)
    assert VariantRecord.from_contract(found.variants[0].variant) == variant


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, ProductStatus.ACTIVE),
        ({"publish_at": NOW}, ProductStatus.ACTIVE),
        ({"publish_at": UNSCHEDULED}, ProductStatus.DRAFT),
        ({"publish_at": NOW.replace(year=2030)}, ProductStatus.DRAFT),
        ({"is_active": False}, ProductStatus.INACTIVE),
        ({"is_active": False, "publish_at": UNSCHEDULED}, ProductStatus.INACTIVE),
    ],
    ids=["on sale", "published", "draft", "scheduled", "off sale", "former draft"],
)
def test_a_product_that_is_not_on_sale_is_not_published(changed: dict[str, object], status: ProductStatus) -> None:
    assert reread(lamp(**changed)).status is status


@given(
    stock=st.builds(
        StockRecord, on_hand=st.integers(-5, 5), reserved=st.just(0), is_tracked=st.booleans(), backorder=st.booleans()
    ),
    dialect=st.sampled_from([CURRENT, LEGACY]),
)
def test_stock_is_read_as_it_was(stock: StockRecord, dialect: ProductFileDialect) -> None:
    (item,) = reread(replace(lamp(), stock={"A": stock}), dialect=dialect).variants
    assert (item.is_tracked, item.backorder) == (stock.is_tracked, stock.backorder)
    is_counted = stock.is_tracked and (stock.on_hand >= 0 or stock.backorder)
    assert item.quantity == (stock.on_hand if is_counted else None)


def test_images_that_the_shop_serves_have_its_address() -> None:
    image = ImageRecord(UUID(int=1), "A lamp")
    named = {"src": "https://x.example/2", "alt": ""}
    product = lamp(images=(image,), sources=(named,))
    found = reread(product, ShopFacts("USD", "https://shop.example/", NOW))
    assert found.sources == ({"src": f"https://shop.example/images/{image.id}/1024.webp", "alt": "A lamp"}, named)
    assert reread(product).sources == (named,)


def test_a_variant_whose_sku_another_product_has_states_no_stock() -> None:
    freed = replace(LAMP.variants[0], is_freed=True)
    assert reread(lamp(variants=(freed,))).quantities == {}


def test_a_made_handle_names_its_product() -> None:
    product_id = new_id()
    assert split_handle(make_handle("brass-lamp", product_id)) == ("brass-lamp", product_id.hex[-12:])
    assert split_handle("brass-lamp") is None


def images(count: int) -> tuple[dict[str, str], ...]:
    """Images whose rows have 2,000 bytes and more."""
    return tuple({"src": f"https://x.example/{number}/{'i' * 2_000}", "alt": ""} for number in range(count))


def pages_of(products: list[ExportedProduct], next_id: UUID | None = None) -> list[FilePage]:
    """All pages of a file. Each is asked for with the products from its position on."""
    pages = [write_page(products, None, next_id, CURRENT, SHOP)]
    while (start := pages[-1].next) and start.product_id != next_id:
        index = next(n for n, one in enumerate(products) if one.product.id == start.product_id)
        pages.append(write_page(products[index:], start, next_id, CURRENT, SHOP))
    return pages


def test_products_stand_on_one_page_if_they_fit() -> None:
    sources = images(MAX_PAGE_BYTES // (5 * 2_000))
    products = [
        replace(one, handle=f"lamp-{n}", product=replace(one.product, id=new_id()))
        for n, one in enumerate([lamp(sources=sources)] * 9)
    ]
    next_id = new_id()
    pages = pages_of(products, next_id)
    assert [page.content.count(b"lamp-") / len(sources) for page in pages] == [4, 4, 1]
    assert all(len(page.content) <= MAX_PAGE_BYTES for page in pages)
    assert pages[-1].next == FilePosition(next_id)


def test_a_product_that_does_not_fit_stands_on_several_pages() -> None:
    sources = images(1_500)
    product = lamp(sources=sources, version=4)
    others = [replace(lamp(), handle=handle, product=replace(LAMP, id=new_id())) for handle in ("first", "last")]
    pages = pages_of([others[0], product, others[1]])
    assert len(pages) > 4
    assert all(len(page.content) <= MAX_PAGE_BYTES for page in pages)
    found = read(b"".join(page.content for page in pages).decode())
    assert [one.handle for one in found] == ["first", "lamp", "last"]
    assert found[1].sources == sources
    start = pages[1].next
    assert start is not None
    assert start.rows_done > 0
    changed = replace(product, product=replace(product.product, version=5))
    with pytest.raises(ExportChanged):
        write_page([changed], start, None, CURRENT, SHOP)


def test_an_empty_shop_has_a_header_only() -> None:
    assert write_page([], None, None, LEGACY, SHOP) == FilePage(header_line(LEGACY).encode(), None)
