"""The rules for slugs, SKUs, prices, search terms, stock and the lines of holds, without servers."""

import contextlib
import re
from dataclasses import replace
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.catalog import (
    AdjustStock,
    CategoryCycle,
    ListProducts,
    Product,
    ProductSort,
    RequestedLine,
    StockReserved,
    VariantInUse,
)
from contracts.failure import InvalidRequest
from infra.foundation.ids import new_id, now
from services.catalog.content.html_sanitizer import sanitize_html
from services.catalog.domain import hold_lines, search
from services.catalog.domain.categories import refuse_cycle
from services.catalog.domain.folded_text import query_text
from services.catalog.domain.number_parser import ParsedPrice, parse_number, parse_price
from services.catalog.domain.product_records import ProductRecord, VariantRecord
from services.catalog.domain.shopify.derived_skus import derive_sku
from services.catalog.domain.slugs import make_unique, slugify
from services.catalog.domain.stock import StockChange, StockRecord, adjust_on_hand, plan_levels

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SKU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")


@given(st.text(max_size=300), st.uuids())
def test_every_name_makes_a_valid_slug(name: str, id_: UUID) -> None:
    slug = slugify(name, "product")
    assert SLUG.fullmatch(slug)
    assert len(slug) <= 120
    unique = make_unique(slug, id_)
    assert SLUG.fullmatch(unique)
    assert len(unique) <= 120
    assert unique != slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Brass Lamp", "brass-lamp"), ("Café Größe №5", "cafe-grosse-no5"), ("  --x--  ", "x"), ("лампа", "product")],
)
def test_slugs_resemble_the_name(name: str, slug: str) -> None:
    assert slugify(name, "product") == slug


@given(st.text(min_size=1, max_size=100), st.lists(st.text(min_size=1, max_size=40), max_size=3))
def test_a_derived_sku_is_valid_and_stable(handle: str, values: list[str]) -> None:
    assert SKU.fullmatch(derive_sku(handle, values))
    assert derive_sku(handle, values) == derive_sku(handle, values)


@given(
    st.tuples(st.text(max_size=20), st.lists(st.text(min_size=1, max_size=9), max_size=3)),
    st.tuples(st.text(max_size=20), st.lists(st.text(min_size=1, max_size=9), max_size=3)),
)
def test_different_options_derive_different_skus(one: tuple[str, list[str]], other: tuple[str, list[str]]) -> None:
    def normalize(parts: tuple[str, list[str]]) -> list[str]:
        return ["-".join(part.lower().split()) for part in (parts[0], *parts[1])]

    if normalize(one) != normalize(other):
        assert derive_sku(*one) != derive_sku(*other)


def test_a_derived_sku_resembles_handle_and_options() -> None:
    assert derive_sku("leather-anchor", ["Gold", "Extra Large"]) == "leather-anchor.gold.extra-large"


@given(st.integers(min_value=0, max_value=10**12))
def test_parses_a_price_into_minor_units(amount: int) -> None:
    assert parse_price(f"{amount // 100}.{amount % 100:02}", "USD") == ParsedPrice(amount)
    assert parse_price(str(amount), "JPY") == ParsedPrice(amount)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        (".99", 99),
        ("5.", 500),
        ("1,50", 150),
        ("1,200", 120_000),
        ("12,345.67", 1_234_567),
        ("12.345,67", 1_234_567),
        ("1 200,50", 120_050),
        ("1\u00a0200", 120_000),
        ("1'200.50", 120_050),
        ("0,250", 25),
        ("$5", 500),
        ("5.00 USD", 500),
        ("\u0661\u066b\u0665", 150),
        ("1.005", 101),
        ("19.9949", 1999),
    ],
)
def test_reads_prices_as_people_write_them_with_a_remark(text: str, amount: int) -> None:
    price = parse_price(text, "USD")
    assert price.amount == amount
    assert f"{amount / 100:.2f}" in price.remark


def test_a_price_has_the_decimals_of_its_currency() -> None:
    assert parse_price("1.005", "KWD") == ParsedPrice(1005)
    assert parse_price("1200", "JPY") == ParsedPrice(1200)
    assert parse_price("1,200", "JPY").amount == 1200
    assert parse_price("99.5", "JPY").amount == 100
    assert parse_price("1,200", "EUR", has_decimal_comma=True).amount == 120
    assert parse_price("1.234", "EUR", has_decimal_comma=True).amount == 123_400
    assert parse_price("1.234,00", "EUR", has_decimal_comma=True).amount == 123_400
    assert parse_price("1.5", "EUR", has_decimal_comma=True).amount == 150
    assert parse_number("1.000", has_decimal_comma=True).value == 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "1e3",
        "NaN",
        "a lot",
        "1,20,0",
        "12 5",
        "1.2.3",
        "€5",
        "5 EUR",
        ".",
        ",",
        "-",
        "9" * 13,
    ],
)
def test_refuses_text_that_is_not_a_price(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a price|is less|is more"):
        parse_price(text, "USD")


@given(st.text(max_size=12))
def test_no_text_breaks_the_price_parser(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_price(text, "USD").amount >= 0


def product_record(description: str = "") -> ProductRecord:
    return ProductRecord(
        id=new_id(),
        slug="lamp",
        name="100 % brass",
        description=description,
        category_id=None,
        tags=("a%b",),
        attributes={"Of": "%d"},
        variants=tuple(VariantRecord(f"L-{n}", {"Size": f"{n} %s"}, 100 + n, None, None) for n in range(3)),
        is_active=True,
        created_at=now(),
        updated_at=now(),
    )


@given(st.text(alphabet=st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=200))
def test_a_filled_document_template_is_the_product(description: str) -> None:
    record = product_record(description)
    filled = (record.document_template("USD") % ('"lamps"', 7, 0, 9)).encode()
    product = Product.model_validate_json(filled)
    assert product.description == description
    assert [variant.available for variant in product.variants] == [7, 0, 9]
    assert (product.category, product.price.amount, product.name) == ("lamps", 100, "100 % brass")


def test_a_line_snapshot_has_the_fields_of_a_line() -> None:
    record = product_record()
    snapshot = orjson.loads("{" + record.line_snapshot(record.variants[1], "USD") + "}")
    assert snapshot == {
        "sku": "L-1",
        "product_id": str(record.id),
        "name": "100 % brass",
        "options": {"Size": "1 %s"},
        "unit_price": {"amount": 101, "currency": "USD"},
    }


@given(st.integers(0, 100), st.integers(0, 100), st.integers(-150, 150))
def test_on_hand_is_never_adjusted_below_reserved(left: int, reserved: int, delta: int) -> None:
    level = StockRecord(left + reserved, reserved)
    body = AdjustStock(sku="A", delta=delta, reason="counted")
    if left + delta < 0:
        with pytest.raises(StockReserved):
            adjust_on_hand(level, body)
    else:
        assert adjust_on_hand(level, body) == replace(level, on_hand=level.on_hand + delta)


def test_removed_variants_lose_their_stock() -> None:
    levels = {"A": StockRecord(5, 0), "B": StockRecord(3, 1), "C": StockRecord(2, 2)}
    assert plan_levels(levels, {"B": StockChange(3)}, {}, ["A"]) == {"A": StockRecord(0, 0)}
    with pytest.raises(VariantInUse):
        plan_levels(levels, {}, {}, ["B"])
    with pytest.raises(StockReserved) as refused:
        plan_levels(levels, {"C": StockChange(1)}, {"C": "/variants/2/stock"}, [])
    assert refused.value.errors[0].pointer == "/variants/2/stock"


LINES = st.lists(st.tuples(st.sampled_from(["A", "B", "C"]), st.integers(1, 50)), min_size=1, max_size=8)


@given(LINES, st.randoms())
def test_a_fingerprint_depends_only_on_the_units(pairs: list[tuple[str, int]], chance: object) -> None:
    lines = [RequestedLine(sku=sku, quantity=quantity) for sku, quantity in pairs]
    shuffled = sorted(lines, key=lambda _: chance.random())  # type: ignore[attr-defined]
    assert hold_lines.fingerprint(lines) == hold_lines.fingerprint(shuffled)
    more = [*lines, RequestedLine(sku="A", quantity=1)]
    assert hold_lines.fingerprint(lines) != hold_lines.fingerprint(more)
    assert sum(hold_lines.merge_lines(lines, {}).values()) == sum(quantity for _, quantity in pairs)


def test_a_hold_takes_at_most_999_units_of_a_sku() -> None:
    lines = [
        RequestedLine(sku="A", quantity=999),
        RequestedLine(sku="B", quantity=1),
        RequestedLine(sku="A", quantity=1),
    ]
    with pytest.raises(InvalidRequest) as refused:
        hold_lines.merge_lines(lines, {})
    assert [error.pointer for error in refused.value.errors] == ["/items/0/quantity", "/items/2/quantity"]


def test_the_error_points_to_the_first_line_of_a_short_sku() -> None:
    lines = [RequestedLine(sku="B", quantity=1), RequestedLine(sku="A", quantity=2), RequestedLine(sku="A", quantity=1)]
    refused = hold_lines.out_of_stock_error(lines, {}, {"B": 1, "A": 3}, {"A": 2})
    assert [(error.pointer, error.detail) for error in refused.errors] == [("/items/1", "3 requested, 2 left.")]


@given(st.text(min_size=1, max_size=50))
def test_every_text_makes_valid_queries(q: str) -> None:
    words = search.parse_terms(q)
    assert words.text == query_text(q)
    assert re.fullmatch(r"(\w+:\*)?", words.prefix)
    query = search.prefix_query(q)
    assert query is None or re.fullmatch(r"(\w+ & )*\w+:\*", query)


def test_quotes_and_operators_are_left_to_postgresql() -> None:
    assert search.parse_terms('"brass lamp"').prefix == ""
    assert search.parse_terms("lamp or shade").prefix == ""
    assert search.parse_terms("brass lam") == search.SearchTerms(
        "brass lam", "'name=brass lam' | 'sku=brass lam' | 'barcode=brass lam'", "brass", "lam:*"
    )
    assert search.parse_terms("brass lam").all_words == "brass & lam:*"


def test_exact_terms_are_quoted() -> None:
    expected = r"'name=it''s a\\b' | 'sku=it''s a\\b' | 'barcode=it''s a\\b'"
    assert search.parse_terms("It's A\\B").exact == expected


def test_sorts_by_relevance_only_with_a_search_text() -> None:
    assert search.effective_sort(ListProducts()) is ProductSort.NEWEST
    assert search.effective_sort(ListProducts(sort=ProductSort.RELEVANCE)) is ProductSort.NEWEST
    assert search.effective_sort(ListProducts(q="x")) is ProductSort.RELEVANCE
    assert search.effective_sort(ListProducts(q="x", sort=ProductSort.PRICE)) is ProductSort.PRICE


def test_refuses_a_category_below_itself() -> None:
    category, parent = new_id(), new_id()
    refuse_cycle(category, [parent])
    with pytest.raises(CategoryCycle):
        refuse_cycle(category, [parent, category])


@pytest.mark.parametrize(
    ("text", "sanitized"),
    [
        ("salt & pepper, 5 < 6", "salt & pepper, 5 < 6"),
        ("<b>bold</b><script>alert(1)</script>", "<b>bold</b>"),
        ('<p onclick="steal()">x</p>', "<p>x</p>"),
        ('<a href="javascript:alert(1)">x</a>', '<a rel="noopener noreferrer">x</a>'),
        ("<img src=x onerror=alert(1)", ""),
    ],
)
def test_sanitizes_descriptions(text: str, sanitized: str) -> None:
    assert sanitize_html(text) == sanitized
