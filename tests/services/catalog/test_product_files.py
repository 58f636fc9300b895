"""Products are written as the rows of a product file that an import reads as the same products, without servers."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.catalog import ExportChanged, ProductFileDialect, ProductStatus
from contracts.size_limits import MAX_PAGE_BYTES
from infra.foundation.ids import new_id
from services.catalog.domain.product_records import ImageRecord, ProductRecord, VariantRecord
from services.catalog.domain.publication import UNSCHEDULED
from services.catalog.domain.shopify.csv_format import detect_format
from services.catalog.domain.shopify.file_pages import FilePage, FilePosition, write_page
from services.catalog.domain.shopify.formula_cells import escape_formula, unescape_formula
from services.catalog.domain.shopify.handles import make_handle, split_handle
from services.catalog.domain.shopify.product_files import ExportedProduct, ShopFacts, header_line, product_lines
from services.catalog.domain.shopify.products import FileProduct, parse_product
from services.catalog.domain.shopify.rows import count_scattered, group_rows, read_rows

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
    return ExportedProduct(replace(LAMP, **changed), "lamp", "Lamps", {"A": 3})  # type: ignore[arg-type]


def read(text: str, currency: str = "USD") -> list[FileProduct]:
    """The products of a file, which has to be without faults."""
    content = text.encode()
    csv_format = detect_format(content)
    groups = group_rows(read_rows(content, csv_format), count_scattered(read_rows(content, csv_format)))
    parsed = [parse_product(group, currency) for group in groups]
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
        attributes={"Vendor": vendor},
        tags=(tag,),
        variants=tuple(VariantRecord(sku, {"Size": str(number)}, 5, 7, 9) for number, sku in enumerate(skus)),
        sources=({"src": "https://x.example/1", "alt": alt},),
    )
    found = reread(product)
    assert (found.name, found.description, found.attributes, found.tags, found.product_type) == (
        name,
        description,
        {"Vendor": vendor},
        (tag,),
        "Lamps",
    )
    assert found.sources == product.product.sources
    assert [VariantRecord.from_contract(item.variant) for item in found.variants] == list(product.product.variants)


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
