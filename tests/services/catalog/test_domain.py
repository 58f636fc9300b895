"""Slugs, SKUs, prices, search words, stock and the lines of holds, without any server."""

import re
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.catalog import AdjustStock, CategoryCycle, HoldLine, ListProducts, Product, Sort, StockReserved
from contracts.catalog import VariantInUse as InUse
from contracts.failure import Invalid
from infra.foundation.ids import new_id, now
from services.catalog.content.html_sanitizer import sanitised
from services.catalog.domain import holds, search
from services.catalog.domain.categories import refuse_cycle
from services.catalog.domain.prices import minor_units
from services.catalog.domain.product_records import Article, ArticleVariant
from services.catalog.domain.shopify.skus import sku_of
from services.catalog.domain.slugs import slug_of, told_apart
from services.catalog.domain.stock import Level, adjusted, changes

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SKU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")


@given(st.text(max_size=300), st.uuids())
def test_any_name_makes_a_slug(name: str, thing: UUID) -> None:
    slug = slug_of(name, "product")
    assert SLUG.fullmatch(slug)
    assert len(slug) <= 120
    apart = told_apart(slug, thing)
    assert SLUG.fullmatch(apart)
    assert len(apart) <= 120
    assert apart != slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Brass Lamp", "brass-lamp"), ("Café Größe №5", "cafe-grosse-no5"), ("  --x--  ", "x"), ("лампа", "product")],
)
def test_slugs_read_like_the_name(name: str, slug: str) -> None:
    assert slug_of(name, "product") == slug


@given(st.text(min_size=1, max_size=100), st.lists(st.text(min_size=1, max_size=40), max_size=3))
def test_a_made_sku_is_one_and_always_the_same(handle: str, values: list[str]) -> None:
    assert SKU.fullmatch(sku_of(handle, values))
    assert sku_of(handle, values) == sku_of(handle, values)


@given(
    st.tuples(st.text(max_size=20), st.lists(st.text(min_size=1, max_size=9), max_size=3)),
    st.tuples(st.text(max_size=20), st.lists(st.text(min_size=1, max_size=9), max_size=3)),
)
def test_other_options_make_another_sku(one: tuple[str, list[str]], other: tuple[str, list[str]]) -> None:
    def alike(parts: tuple[str, list[str]]) -> list[str]:
        return ["-".join(part.lower().split()) for part in (parts[0], *parts[1])]

    if alike(one) != alike(other):
        assert sku_of(*one) != sku_of(*other)


def test_a_made_sku_reads_like_what_it_is_of() -> None:
    assert sku_of("leather-anchor", ["Gold", "Extra Large"]) == "leather-anchor.gold.extra-large"


@given(st.integers(min_value=0, max_value=10**12))
def test_a_price_is_its_minor_units(amount: int) -> None:
    assert minor_units(f"{amount // 100}.{amount % 100:02}", "USD") == amount
    assert minor_units(str(amount), "JPY") == amount


@pytest.mark.parametrize(
    "text", ["", "-1", "1e3", "NaN", "1,50", "1.005", "$5", "\u0661", "9" * 13, " 5", "5.", "1000000000000"]
)
def test_what_is_not_a_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|has more|is more"):
        minor_units(text, "USD")


def article(description: str = "") -> Article:
    return Article(
        id=new_id(),
        slug="lamp",
        name="100 % brass",
        description=description,
        category_id=None,
        tags=("a%b",),
        attributes={"Of": "%d"},
        variants=tuple(ArticleVariant(f"L-{n}", {"Size": f"{n} %s"}, 100 + n, None, None) for n in range(3)),
        is_active=True,
        created_at=now(),
        updated_at=now(),
    )


@given(st.text(alphabet=st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=200))
def test_a_document_is_the_product_once_its_holes_are_filled(description: str) -> None:
    one = article(description)
    filled = (one.document("USD") % ('"lamps"', 7, 0, 9)).encode()
    product = Product.model_validate_json(filled)
    assert product.description == description
    assert [variant.available for variant in product.variants] == [7, 0, 9]
    assert (product.category, product.price.amount, product.name) == ("lamps", 100, "100 % brass")


def test_a_card_has_what_a_line_says() -> None:
    one = article()
    card = orjson.loads("{" + one.card(one.variants[1], "USD") + "}")
    assert card == {
        "sku": "L-1",
        "product_id": str(one.id),
        "name": "100 % brass",
        "options": {"Size": "1 %s"},
        "unit_price": {"amount": 101, "currency": "USD"},
    }


@given(st.integers(0, 100), st.integers(0, 100), st.integers(-150, 150))
def test_stock_is_never_adjusted_below_what_is_reserved(left: int, reserved: int, delta: int) -> None:
    level = Level(left + reserved, reserved)
    body = AdjustStock(sku="A", delta=delta, reason="counted")
    if left + delta < 0:
        with pytest.raises(StockReserved):
            adjusted(level, body)
    else:
        assert adjusted(level, body) == level.on_hand + delta


def test_what_goes_with_its_variant_is_written_off() -> None:
    levels = {"A": Level(5, 0), "B": Level(3, 1), "C": Level(2, 2)}
    assert changes(levels, {"B": 3}, {}, ["A"]) == {"A": 0}
    with pytest.raises(InUse):
        changes(levels, {}, {}, ["B"])
    with pytest.raises(StockReserved) as refused:
        changes(levels, {"C": 1}, {"C": "/variants/2/stock"}, [])
    assert refused.value.errors[0].pointer == "/variants/2/stock"


LINES = st.lists(st.tuples(st.sampled_from(["A", "B", "C"]), st.integers(1, 50)), min_size=1, max_size=8)


@given(LINES, st.randoms())
def test_a_hold_is_known_by_its_units_not_by_how_they_are_listed(pairs: list[tuple[str, int]], chance: object) -> None:
    lines = [HoldLine(sku=sku, quantity=quantity) for sku, quantity in pairs]
    shuffled = sorted(lines, key=lambda _: chance.random())  # type: ignore[attr-defined]
    assert holds.fingerprint(lines) == holds.fingerprint(shuffled)
    more = [*lines, HoldLine(sku="A", quantity=1)]
    assert holds.fingerprint(lines) != holds.fingerprint(more)
    assert sum(holds.merged(lines, {}).values()) == sum(quantity for _, quantity in pairs)


def test_one_sku_is_held_at_most_999_times_however_split() -> None:
    lines = [HoldLine(sku="A", quantity=999), HoldLine(sku="B", quantity=1), HoldLine(sku="A", quantity=1)]
    with pytest.raises(Invalid) as refused:
        holds.merged(lines, {})
    assert [error.pointer for error in refused.value.errors] == ["/items/0/quantity", "/items/2/quantity"]


def test_the_first_line_of_a_short_sku_is_named() -> None:
    lines = [HoldLine(sku="B", quantity=1), HoldLine(sku="A", quantity=2), HoldLine(sku="A", quantity=1)]
    refused = holds.short(lines, {}, {"B": 1, "A": 3}, {"A": 2})
    assert [(error.pointer, error.detail) for error in refused.errors] == [("/items/1", "3 asked, 2 left")]


@given(st.text(min_size=1, max_size=50))
def test_whatever_is_typed_makes_queries_of_words(q: str) -> None:
    words = search.typed(q)
    assert words.whole == q
    assert re.fullmatch(r"(\w+:\*)?", words.last)
    query = search.prefixes(q)
    assert query is None or re.fullmatch(r"(\w+ & )*\w+:\*", query)


def test_quotes_and_operators_are_left_to_the_search() -> None:
    assert search.typed('"brass lamp"').last == ""
    assert search.typed("lamp or shade").last == ""
    assert search.typed("brass lam") == search.Typed("brass lam", "brass", "lam:*")


def test_relevance_needs_something_to_be_relevant_to() -> None:
    assert search.sort_of(ListProducts()) is Sort.NEWEST
    assert search.sort_of(ListProducts(sort=Sort.RELEVANCE)) is Sort.NEWEST
    assert search.sort_of(ListProducts(q="x")) is Sort.RELEVANCE
    assert search.sort_of(ListProducts(q="x", sort=Sort.PRICE)) is Sort.PRICE


def test_a_category_is_never_its_own_ancestor() -> None:
    category, parent = new_id(), new_id()
    refuse_cycle(category, [parent])
    with pytest.raises(CategoryCycle):
        refuse_cycle(category, [parent, category])


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("salt & pepper, 5 < 6", "salt & pepper, 5 < 6"),
        ("<b>bold</b><script>alert(1)</script>", "<b>bold</b>"),
        ('<p onclick="steal()">x</p>', "<p>x</p>"),
        ('<a href="javascript:alert(1)">x</a>', '<a rel="noopener noreferrer">x</a>'),
        ("<img src=x onerror=alert(1)", ""),
    ],
)
def test_descriptions_are_made_safe(written: str, kept: str) -> None:
    assert sanitised(written) == kept
