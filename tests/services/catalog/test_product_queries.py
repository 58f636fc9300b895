"""Lists and search: every sort and filter, stable pages, facets and suggestions."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from contracts import catalog
from contracts.catalog import Product, ProductSort
from contracts.failure import InvalidCursor, InvalidRequest
from infra.foundation.ids import new_id
from infra.foundation.pagination import encode_cursor
from tests.services.catalog.conftest import CatalogClient, line, usd

NewProduct = Callable[..., Awaitable[Product]]
SORTS = [sort for sort in ProductSort if sort is not ProductSort.RELEVANCE]


class ListedCategory:
    """A category of one test with its products, so that lists of it hold no products of other tests."""

    def __init__(self, client: CatalogClient, new_product: NewProduct, category: catalog.Category) -> None:
        self.client = client
        self.new_product = new_product
        self.category = category
        self.word = f"w{new_id().hex}"

    async def add(self, name: str, price: int = 1000, **fields: Any) -> Product:
        fields.setdefault("category_id", str(self.category.id))
        return await self.new_product(name=name, price=price, **fields)

    async def names(self, operation: Any = catalog.LIST_PRODUCTS, **params: Any) -> list[str]:
        page = await self.client.edge(operation, {"category": self.category.slug, "limit": 100, **params})
        return [product.name for product in page.items]

    async def pages(self, between: Callable[[], Awaitable[object]] | None = None, **params: Any) -> list[str]:
        """The names on all pages of two products; `between` runs after each page but the last."""
        found: list[str] = []
        after = None
        while True:
            body = {"category": self.category.slug, "limit": 2, "after": after, **params}
            page = await self.client.edge(catalog.LIST_PRODUCTS, body)
            found += [product.name for product in page.items]
            if page.next is None:
                return found
            after = page.next
            if between is not None:
                await between()


@pytest.fixture
async def listed(client: CatalogClient, new_product: NewProduct) -> ListedCategory:
    category = await client.as_admin(catalog.CREATE_CATEGORY, {"name": f"Listed {new_id().hex}"})
    return ListedCategory(client, new_product, category)


async def test_every_sort(listed: ListedCategory, database: Callable[[str], Awaitable[Any]]) -> None:
    created = {name: await listed.add(name, price) for name, price in (("bolt", 300), ("Anvil", 100), ("crate", 200))}
    connection = await database("catalog")
    for name, stars, rank in (("bolt", 2.5, 0.1), ("Anvil", 4.5, 0.2)):
        await connection.execute(
            "UPDATE product SET rating_average = $2, rating_rank = $3 WHERE id = $1", created[name].id, stars, rank
        )
    assert await listed.names() == ["crate", "Anvil", "bolt"]
    assert await listed.names(sort="newest") == ["crate", "Anvil", "bolt"]
    assert await listed.names(sort="price") == ["Anvil", "crate", "bolt"]
    assert await listed.names(sort="-price") == ["bolt", "crate", "Anvil"]
    assert await listed.names(sort="name") == ["Anvil", "bolt", "crate"]
    assert await listed.names(sort="rating") == ["Anvil", "bolt", "crate"]
    assert await listed.names(min_rating=2.5) == ["Anvil", "bolt"]


async def test_every_filter(listed: ListedCategory) -> None:
    below = await listed.client.as_admin(
        catalog.CREATE_CATEGORY, {"name": "Below", "parent_id": str(listed.category.id)}
    )
    await listed.add("one", 100, tags=["red", "big"])
    await listed.add("two", 200, tags=["red"], stock=0)
    deep = await listed.add("three", 300, category_id=str(below.id))
    gone = await listed.add("gone", 150)
    await listed.client.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(gone.id)})
    await listed.client.hold(line(deep.variants[0].sku, 10))
    assert await listed.names() == ["three", "two", "one"]
    assert await listed.names(category=below.slug) == ["three"]
    assert await listed.names(category="no-such-category") == []
    assert await listed.names(tag="red") == ["two", "one"]
    assert await listed.names(tag="big") == ["one"]
    assert await listed.names(min_price=200) == ["three", "two"]
    assert await listed.names(max_price=200) == ["two", "one"]
    assert await listed.names(min_price=150, max_price=250) == ["two"]
    assert await listed.names(in_stock=True) == ["one"]
    assert await listed.names(in_stock=False) == ["three", "two"]


async def test_a_product_has_the_price_of_its_cheapest_variant(listed: ListedCategory) -> None:
    variants = [
        {"sku": f"L-{new_id().hex}", "price": usd(price), "options": {"Size": str(price)}, "stock": 1}
        for price in (900, 400, 600)
    ]
    body = {"name": "three", "category_id": str(listed.category.id), "variants": variants}
    await listed.client.as_admin(catalog.CREATE_PRODUCT, body)
    assert await listed.names(max_price=400) == ["three"]
    assert await listed.names(min_price=401) == []


@pytest.mark.parametrize("sort", SORTS)
async def test_pages_are_stable_while_products_are_added(listed: ListedCategory, sort: ProductSort) -> None:
    """Each product from before is on exactly one page, in order, also among equal sort keys."""
    for n in range(7):
        await listed.add(f"p{n // 2}", 100 * (n // 3))
    before = await listed.pages(sort=sort)

    async def add_products() -> None:
        for name, price in (("a", 0), ("p1", 100), ("z", 900)):
            await listed.add(f"{name} new", price)

    after = await listed.pages(add_products, sort=sort)
    assert [name for name in after if not name.endswith("new")] == before
    assert len(before) == 7


async def test_search_pages_are_stable_while_products_are_added(listed: ListedCategory) -> None:
    word = listed.word
    for n in range(5):
        await listed.add(f"{word} {n}", description=f"{word} " * n)
    before = await listed.pages(q=word)
    again = await listed.pages(lambda: listed.add(f"{word} new", description=word), q=word)
    assert [name for name in again if not name.endswith("new")] == before
    assert len(before) == 5


async def test_refuses_invalid_cursors_and_limits(listed: ListedCategory) -> None:
    for n in range(3):
        await listed.add(f"p{n}")
    params = {"category": listed.category.slug, "limit": 1}
    page = await listed.client.edge(catalog.LIST_PRODUCTS, {**params, "sort": "price"})
    some_id = str(new_id())
    bad: Sequence[tuple[str, str]] = [
        ("-price", page.next),
        ("price", "nonsense"),
        ("price", encode_cursor("price", 10**18, some_id)),
        ("price", encode_cursor("price", -1, some_id)),
        ("price", encode_cursor("price", 1, "no id")),
        ("price", encode_cursor("price", 1)),
        ("name", encode_cursor("name", "a\0b", some_id)),
        ("rating", encode_cursor("rating", "nan", some_id)),
        ("newest", encode_cursor("newest", None)),
    ]
    for sort, after in bad:
        with pytest.raises(InvalidCursor):
            await listed.client.edge(catalog.LIST_PRODUCTS, {**params, "sort": sort, "after": after})
    for limit in (0, 101):
        with pytest.raises(InvalidRequest):
            await listed.client.edge(catalog.LIST_PRODUCTS, {"limit": limit})


async def test_search_ranks_names_above_tags_above_descriptions(listed: ListedCategory) -> None:
    word = listed.word
    await listed.add("in description", description=f"<p>created of {word}</p>")
    await listed.add(f"in name {word}")
    await listed.add("in tags", tags=[word])
    await listed.add("nowhere")
    assert await listed.names(q=word) == [f"in name {word}", "in tags", "in description"]
    assert await listed.names(q=word, sort="name") == ["in description", f"in name {word}", "in tags"]
    assert await listed.names(q=word[:-3]) == [f"in name {word}", "in tags", "in description"]
    assert await listed.names(q=f'"name {word}"') == [f"in name {word}"]
    assert await listed.names(q=f"{word} -tags") == [f"in name {word}", "in description"]


async def test_search_matches_word_forms_and_prefixes(listed: ListedCategory) -> None:
    await listed.add("Brass lamps")
    assert await listed.names(q="lamp") == ["Brass lamps"]
    assert await listed.names(q="brass lam") == ["Brass lamps"]
    assert await listed.names(q="brass chair") == []


@pytest.mark.parametrize(
    "q", ["'", '"', "a & | ! :* ()", "\\", "-", "or or", "the", "💡", "x" * 200, "a'b\"c", "<->", "%s"]
)
async def test_no_search_text_causes_an_error(client: CatalogClient, q: str) -> None:
    for operation in (catalog.LIST_PRODUCTS, catalog.SEARCH_PRODUCTS):
        await client.edge(operation, {"q": q})
    await client.edge(catalog.SUGGEST, {"q": q})


async def test_facets_count_the_matching_products(listed: ListedCategory) -> None:
    for n, (price, tags) in enumerate([(500, ["red"]), (1500, ["red", "big"]), (200_000, ["red"])]):
        await listed.add(f"{listed.word} {n}", price, tags=tags)
    await listed.add("other", tags=["blue"])
    params = {"q": listed.word, "category": listed.category.slug, "limit": 2}
    found = await listed.client.edge(catalog.SEARCH_PRODUCTS, params)
    assert len(found.items) == 2
    assert found.next is not None
    counted = {name: [(one.value, one.count) for one in facet] for name, facet in found.facets.items()}
    assert counted == {
        "category": [(listed.category.slug, 3)],
        "price": [("0..1000", 1), ("1000..2500", 1), ("100000..", 1)],
        "rating": [],
        "tag": [("red", 3), ("big", 1)],
        "attribute": [],
        "option": [],
    }
    rest = await listed.client.edge(catalog.SEARCH_PRODUCTS, {**params, "after": found.next})
    assert len(rest.items) == 1
    assert rest.facets == found.facets


async def test_attributes_and_options_are_filters_and_facets(listed: ListedCategory) -> None:
    """Whatever their case and encoding. A filter with several values finds any of them, several filters all."""
    below = await listed.client.as_admin(
        catalog.CREATE_CATEGORY, {"name": f"Below {new_id().hex}", "parent_id": str(listed.category.id)}
    )
    for name, material, sizes, category in (
        ("one", "Café oak", "SM", listed.category),
        ("two", "cafe\u0301 OAK", "ML", below),
        ("three", "brass", "L", below),
    ):
        variants = [
            {"sku": f"{size}-{new_id().hex}", "price": usd(500), "stock": 1, "options": {"Size": size}}
            for size in sizes
        ]
        attributes = {"Material": material, "Mark": listed.word}
        body = {"name": name, "category_id": str(category.id), "attributes": attributes, "variants": variants}
        await listed.client.as_admin(catalog.CREATE_PRODUCT, body)
    assert await listed.names(attribute={"Material": "CAFÉ oak"}) == ["two", "one"]
    assert await listed.names(attribute={"material": ["brass", "steel"]}) == ["three"]
    assert await listed.names(option={"Size": ["s", "L"]}) == ["three", "two", "one"]
    assert await listed.names(option={"Size": "M"}, attribute={"Material": "brass"}) == []
    assert await listed.names(option={"Material": "brass"}) == []
    assert await listed.names(category=[below.slug, "no-such"], sort="price") == ["two", "three"]
    assert await listed.names(q="brass") == ["three"]
    assert await listed.names(q="material caf", sort="newest") == ["two", "one"]
    filters = {"category": listed.category.slug, "option": {"Size": "S"}, "attribute": {"Material": "café oak"}}
    found = await listed.client.edge(catalog.SEARCH_PRODUCTS, filters)
    assert [product.name for product in found.items] == ["one"]
    counted = {name: [(one.name, one.value, one.count) for one in facet] for name, facet in found.facets.items()}
    assert counted["attribute"] == [("Mark", listed.word, 1), ("Material", "Café oak", 1)]
    assert counted["option"] == [("Size", "M", 2), ("Size", "L", 1), ("Size", "S", 1)]
    assert (None, listed.category.slug, 1) in counted["category"]
    marked = {"attribute": {"Mark": listed.word}}
    counts = await _category_counts(listed, marked)
    assert counts == {listed.category.slug: 3, below.slug: 2}
    moved = {"id": str(below.id), "name": "Elsewhere", "slug": f"elsewhere-{new_id().hex}"}
    await listed.client.as_admin(catalog.REPLACE_CATEGORY, moved)
    assert await _category_counts(listed, marked) == {listed.category.slug: 1, moved["slug"]: 2}


async def _category_counts(listed: ListedCategory, filters: dict[str, Any]) -> dict[str, int]:
    found = await listed.client.edge(catalog.SEARCH_PRODUCTS, filters)
    return {one.value: one.count for one in found.facets["category"]}


async def test_suggests_names_for_a_prefix(listed: ListedCategory) -> None:
    word = listed.word
    await listed.add(f"Lamp {word}")
    await listed.add(f"{word} lamp of brass")
    await listed.add(f"{word} lamp")
    gone = await listed.add(f"{word} lamp gone")
    await listed.client.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(gone.id)})
    found = await listed.client.edge(catalog.SUGGEST, {"q": f"{word} la"})
    assert found.items == [f"{word} lamp", f"{word} lamp of brass", f"Lamp {word}"]
    assert (await listed.client.edge(catalog.SUGGEST, {"q": word[:20].upper(), "limit": 1})).items == [f"{word} lamp"]
    assert (await listed.client.edge(catalog.SUGGEST, {"q": "?!"})).items == []
