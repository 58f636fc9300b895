"""Lists and search: every sort and filter, pages that hold under inserts, facets and suggestions."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from contracts import catalog
from contracts.catalog import Product, ProductSort
from contracts.failure import InvalidCursor, InvalidRequest
from infra.foundation import pagination as cursor
from infra.foundation.ids import new_id
from tests.services.catalog.conftest import CatalogClient, line, usd

Make = Callable[..., Awaitable[Product]]
SORTS = [sort for sort in ProductSort if sort is not ProductSort.RELEVANCE]


class Corner:
    """Products that nobody else's lists hold: all are under one category of their own."""

    def __init__(self, shelf: CatalogClient, make: Make, category: catalog.Category) -> None:
        self.shelf = shelf
        self.make = make
        self.category = category
        self.word = f"w{new_id().hex}"

    async def put(self, name: str, price: int = 1000, **more: Any) -> Product:
        more.setdefault("category_id", str(self.category.id))
        return await self.make(name=name, price=price, **more)

    async def names(self, operation: Any = catalog.LIST_PRODUCTS, **asked: Any) -> list[str]:
        page = await self.shelf.edge(operation, {"category": self.category.slug, "limit": 100, **asked})
        return [product.name for product in page.items]

    async def pages(self, between: Callable[[], Awaitable[object]] | None = None, **asked: Any) -> list[str]:
        """All names, two at a time, with something done between the pages."""
        found: list[str] = []
        after = None
        while True:
            said = {"category": self.category.slug, "limit": 2, "after": after, **asked}
            page = await self.shelf.edge(catalog.LIST_PRODUCTS, said)
            found += [product.name for product in page.items]
            if page.next is None:
                return found
            after = page.next
            if between is not None:
                await between()


@pytest.fixture
async def corner(shelf: CatalogClient, new_product: Make) -> Corner:
    category = await shelf.as_admin(catalog.CREATE_CATEGORY, {"name": f"Corner {new_id().hex}"})
    return Corner(shelf, new_product, category)


async def test_sorts(corner: Corner, database: Callable[[str], Awaitable[Any]]) -> None:
    made = {name: await corner.put(name, price) for name, price in (("bolt", 300), ("Anvil", 100), ("crate", 200))}
    connection = await database("catalog")
    for name, stars in (("bolt", 2.5), ("Anvil", 4.5)):
        await connection.execute("UPDATE product SET rating_average = $2 WHERE id = $1", made[name].id, stars)
    assert await corner.names() == ["crate", "Anvil", "bolt"]
    assert await corner.names(sort="newest") == ["crate", "Anvil", "bolt"]
    assert await corner.names(sort="price") == ["Anvil", "crate", "bolt"]
    assert await corner.names(sort="-price") == ["bolt", "crate", "Anvil"]
    assert await corner.names(sort="name") == ["Anvil", "bolt", "crate"]
    assert await corner.names(sort="rating") == ["Anvil", "bolt", "crate"]
    assert await corner.names(min_rating=2.5) == ["Anvil", "bolt"]


async def test_filters(corner: Corner) -> None:
    below = await corner.shelf.as_admin(
        catalog.CREATE_CATEGORY, {"name": "Below", "parent_id": str(corner.category.id)}
    )
    await corner.put("one", 100, tags=["red", "big"])
    await corner.put("two", 200, tags=["red"], stock=0)
    deep = await corner.put("three", 300, category_id=str(below.id))
    gone = await corner.put("gone", 150)
    await corner.shelf.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(gone.id)})
    await corner.shelf.hold(line(deep.variants[0].sku, 10))
    assert await corner.names() == ["three", "two", "one"]
    assert await corner.names(category=below.slug) == ["three"]
    assert await corner.names(category="no-such-category") == []
    assert await corner.names(tag="red") == ["two", "one"]
    assert await corner.names(tag="big") == ["one"]
    assert await corner.names(min_price=200) == ["three", "two"]
    assert await corner.names(max_price=200) == ["two", "one"]
    assert await corner.names(min_price=150, max_price=250) == ["two"]
    assert await corner.names(in_stock=True) == ["one"]
    assert await corner.names(in_stock=False) == ["three", "two"]


async def test_the_price_of_a_product_is_its_cheapest(corner: Corner) -> None:
    variants = [{"sku": f"L-{new_id().hex}", "price": usd(price), "stock": 1} for price in (900, 400, 600)]
    said = {"name": "three", "category_id": str(corner.category.id), "variants": variants}
    await corner.shelf.as_admin(catalog.CREATE_PRODUCT, said)
    assert await corner.names(max_price=400) == ["three"]
    assert await corner.names(min_price=401) == []


@pytest.mark.parametrize("sort", SORTS)
async def test_pages_hold_while_products_come_in(corner: Corner, sort: ProductSort) -> None:
    """Each product that was there at the beginning is on exactly one page, in order; same keys included."""
    for n in range(7):
        await corner.put(f"p{n // 2}", 100 * (n // 3))
    before = await corner.pages(sort=sort)

    async def come_in() -> None:
        for name, price in (("a", 0), ("p1", 100), ("z", 900)):
            await corner.put(f"{name} new", price)

    after = await corner.pages(come_in, sort=sort)
    assert [name for name in after if not name.endswith("new")] == before
    assert len(before) == 7


async def test_pages_of_a_search_hold_while_products_come_in(corner: Corner) -> None:
    word = corner.word
    for n in range(5):
        await corner.put(f"{word} {n}", description=f"{word} " * n)
    before = await corner.pages(q=word)
    again = await corner.pages(lambda: corner.put(f"{word} new", description=word), q=word)
    assert [name for name in again if not name.endswith("new")] == before
    assert len(before) == 5


async def test_cursors_are_of_one_sort_and_of_our_making(corner: Corner) -> None:
    for n in range(3):
        await corner.put(f"p{n}")
    asked = {"category": corner.category.slug, "limit": 1}
    page = await corner.shelf.edge(catalog.LIST_PRODUCTS, {**asked, "sort": "price"})
    thing = str(new_id())
    bad: Sequence[tuple[str, str]] = [
        ("-price", page.next),
        ("price", "nonsense"),
        ("price", cursor.encode_cursor("price", 10**18, thing)),
        ("price", cursor.encode_cursor("price", -1, thing)),
        ("price", cursor.encode_cursor("price", 1, "no id")),
        ("price", cursor.encode_cursor("price", 1)),
        ("name", cursor.encode_cursor("name", "a\0b", thing)),
        ("rating", cursor.encode_cursor("rating", "nan", thing)),
        ("newest", cursor.encode_cursor("newest", None)),
    ]
    for sort, after in bad:
        with pytest.raises(InvalidCursor):
            await corner.shelf.edge(catalog.LIST_PRODUCTS, {**asked, "sort": sort, "after": after})
    for limit in (0, 101):
        with pytest.raises(InvalidRequest):
            await corner.shelf.edge(catalog.LIST_PRODUCTS, {"limit": limit})


async def test_search_looks_into_names_before_tags_before_descriptions(corner: Corner) -> None:
    word = corner.word
    await corner.put("in description", description=f"<p>made of {word}</p>")
    await corner.put(f"in name {word}")
    await corner.put("in tags", tags=[word])
    await corner.put("nowhere")
    assert await corner.names(q=word) == [f"in name {word}", "in tags", "in description"]
    assert await corner.names(q=word, sort="name") == ["in description", f"in name {word}", "in tags"]
    assert await corner.names(q=word[:-3]) == [f"in name {word}", "in tags", "in description"]
    assert await corner.names(q=f'"name {word}"') == [f"in name {word}"]
    assert await corner.names(q=f"{word} -tags") == [f"in name {word}", "in description"]


async def test_search_knows_forms_of_words(corner: Corner) -> None:
    await corner.put("Brass lamps")
    assert await corner.names(q="lamp") == ["Brass lamps"]
    assert await corner.names(q="brass lam") == ["Brass lamps"]
    assert await corner.names(q="brass chair") == []


@pytest.mark.parametrize(
    "q", ["'", '"', "a & | ! :* ()", "\\", "-", "or or", "the", "💡", "x" * 200, "a'b\"c", "<->", "%s"]
)
async def test_nothing_typed_breaks_the_search(shelf: CatalogClient, q: str) -> None:
    for operation in (catalog.LIST_PRODUCTS, catalog.SEARCH_PRODUCTS):
        await shelf.edge(operation, {"q": q})
    await shelf.edge(catalog.SUGGEST, {"q": q})


async def test_facets_count_what_matches(corner: Corner) -> None:
    for n, (price, tags) in enumerate([(500, ["red"]), (1500, ["red", "big"]), (200_000, ["red"])]):
        await corner.put(f"{corner.word} {n}", price, tags=tags)
    await corner.put("other", tags=["blue"])
    asked = {"q": corner.word, "category": corner.category.slug, "limit": 2}
    found = await corner.shelf.edge(catalog.SEARCH_PRODUCTS, asked)
    assert len(found.items) == 2
    assert found.next is not None
    counted = {name: [(one.value, one.count) for one in facet] for name, facet in found.facets.items()}
    assert counted == {
        "category": [(corner.category.slug, 3)],
        "price": [("0..1000", 1), ("1000..2500", 1), ("100000..", 1)],
        "tag": [("red", 3), ("big", 1)],
    }
    rest = await corner.shelf.edge(catalog.SEARCH_PRODUCTS, {**asked, "after": found.next})
    assert len(rest.items) == 1
    assert rest.facets == found.facets


async def test_names_are_suggested_as_they_are_typed(corner: Corner) -> None:
    word = corner.word
    await corner.put(f"Lamp {word}")
    await corner.put(f"{word} lamp of brass")
    await corner.put(f"{word} lamp")
    gone = await corner.put(f"{word} lamp gone")
    await corner.shelf.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(gone.id)})
    found = await corner.shelf.edge(catalog.SUGGEST, {"q": f"{word} la"})
    assert found.items == [f"{word} lamp", f"{word} lamp of brass", f"Lamp {word}"]
    assert (await corner.shelf.edge(catalog.SUGGEST, {"q": word[:20].upper(), "limit": 1})).items == [f"{word} lamp"]
    assert (await corner.shelf.edge(catalog.SUGGEST, {"q": "?!"})).items == []
