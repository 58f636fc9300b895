"""Search, tags and names whatever the accents, the case and the encoding; and rows that an older release wrote."""

import unicodedata
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import catalog
from infra.foundation.ids import new_id
from services.catalog.domain.folded_text import fold
from tests.services.catalog.conftest import CatalogClient, usd
from tests.services.catalog.test_product_queries import ListedCategory, NewProduct
from tests.support.eventually import eventually

Database = Callable[[str], Awaitable[Any]]


@pytest.fixture
async def listed(client: CatalogClient, new_product: NewProduct) -> ListedCategory:
    category = await client.as_admin(catalog.CREATE_CATEGORY, {"name": f"Searched {new_id().hex}"})
    return ListedCategory(client, new_product, category)


@pytest.mark.parametrize("name", ["Crème brûlée", "Creme Brulee", unicodedata.normalize("NFD", "CRÈME BRÛLÉE")])
async def test_search_ignores_accents_case_and_encoding(listed: ListedCategory, name: str) -> None:
    await listed.add(f"{name} {listed.word}")
    for q in (
        "creme brulee",
        "crème brûlée",
        "CRÈME",
        unicodedata.normalize("NFD", "brûlée"),
        "brul",
        '"crème brûlée"',
    ):
        for operation in (catalog.LIST_PRODUCTS, catalog.SEARCH_PRODUCTS):
            assert [fold(found) for found in await listed.names(operation, q=q)] == [f"creme brulee {listed.word}"]


@pytest.mark.parametrize(
    ("name", "q"), [("Straße", "strasse"), ("Łódź", "lodz"), ("Smørrebrød", "smorrebrod"), ("Ærø", "AERO")]
)
async def test_search_finds_letters_that_have_no_accent(listed: ListedCategory, name: str, q: str) -> None:
    await listed.add(name)
    assert await listed.names(q=q) == [name]
    assert await listed.names(q=name.upper()) == [name]


async def test_search_folds_tags_and_descriptions(listed: ListedCategory) -> None:
    await listed.add("tagged", tags=["Brûlée"])
    await listed.add("described", description="<p>Une crème brûlée</p>")
    assert await listed.names(q="brulee") == ["tagged", "described"]


@pytest.mark.parametrize("name", ["The Who", "It", "To be or not to be", "Not & Now?!", "AND OR"])
async def test_search_finds_names_of_stop_words(listed: ListedCategory, name: str) -> None:
    await listed.add(name)
    await listed.add("Brass lamp", description="what the shop is for, or not to be, and it is now")
    assert (await listed.names(q=name))[:1] == [name]
    assert (await listed.names(q=name.lower()))[:1] == [name]


async def test_some_of_the_stop_words_find_a_name(listed: ListedCategory) -> None:
    await listed.add("The Who live")
    await listed.add("To be or not to be")
    assert await listed.names(q="the wh") == ["The Who live"]
    assert await listed.names(q="not be") == ["To be or not to be"]
    assert await listed.names(q='"the who"') == ["The Who live"]


async def test_an_exact_name_comes_first(listed: ListedCategory) -> None:
    await listed.add("Lamp")
    await listed.add("Lamp lamp", tags=["lamp"], description="lamp " * 20)
    await listed.add("Lämp lamp lamp", tags=["lamp"], description="lamp " * 20)
    assert (await listed.names(q="lamp"))[0] == "Lamp"
    assert (await listed.names(q="LÄMP"))[0] == "Lamp"
    assert await listed.pages(q="lamp") == await listed.names(q="lamp")


@pytest.mark.parametrize("form", ["A.{0}", "x-{0}/L", "{0}-OR-1", "it's-{0}"])
async def test_an_exact_sku_comes_first(listed: ListedCategory, form: str) -> None:
    sku = form.format(new_id().hex[-8:])
    await listed.add(f"Box for {sku}", description=f"{sku} " * 9)
    variants = [
        {"sku": one, "price": usd(500), "stock": 1, "options": {"Size": one}} for one in (f"{new_id().hex}", sku)
    ]
    body = {"name": "Two sizes", "category_id": str(listed.category.id), "variants": variants}
    await listed.client.as_admin(catalog.CREATE_PRODUCT, body)
    for q in (sku, sku.lower(), f" {sku.upper()} "):
        assert (await listed.names(q=q))[0] == "Two sizes"
    assert (await listed.names(catalog.SEARCH_PRODUCTS, q=sku))[0] == "Two sizes"


async def test_a_sku_that_is_gone_is_not_found(listed: ListedCategory) -> None:
    product = await listed.add("changing")
    sku, other = product.variants[0].sku, f"N-{new_id().hex}"
    change = {"id": str(product.id), "variants": [{"sku": other, "price": usd(500)}]}
    await listed.client.as_admin(catalog.CHANGE_PRODUCT, change)
    assert (await listed.names(q=sku), await listed.names(q=other)) == ([], ["changing"])


async def test_suggestions_ignore_accents(listed: ListedCategory) -> None:
    mark = listed.word
    await listed.add(f"Crème {mark}")
    await listed.add(f"{mark} straße")
    for q in (f"creme {mark[:20]}", unicodedata.normalize("NFD", f"CRÈME {mark[:20]}")):
        assert (await listed.client.edge(catalog.SUGGEST, {"q": q})).items == [f"Crème {mark}"]
    assert (await listed.client.edge(catalog.SUGGEST, {"q": f"{mark} stras"})).items == [f"{mark} straße"]


async def test_tags_match_whatever_their_case(listed: ListedCategory) -> None:
    for name, tags in (("one", ["Rouge", "big"]), ("two", ["rouge"]), ("three", ["Rouge", "ROUGE"])):
        await listed.add(f"{name} {listed.word}", tags=tags)
    names = [f"{name} {listed.word}" for name in ("three", "two", "one")]
    for tag in ("rouge", "Rouge", "ROUGE"):
        assert await listed.names(tag=tag) == names
    found = await listed.client.edge(catalog.SEARCH_PRODUCTS, {"category": listed.category.slug})
    assert [(one.value, one.count) for one in found.facets["tag"]] == [("Rouge", 3), ("big", 1)]
    assert [product.tags for product in found.items] == [["Rouge"], ["rouge"], ["Rouge", "big"]]


async def test_names_are_sorted_by_collation_in_stable_pages(listed: ListedCategory) -> None:
    names = [
        "apple",
        "Äpple",
        "Apricot",
        "Shelf 9",
        "shelf 10",
        "Shelf 10 \ufdfa",
        "The Who",
        "Theatre",
        "zebra",
        "Zoë",
    ]
    long = "\u3042" * 200
    for name in [*reversed(names), long, "Shelf 9"]:
        await listed.add(name)
    expected = [*names[:4], *names[3:], long]
    assert await listed.names(sort="name") == expected
    between = iter(["Aardvark", "apple pie", "Shelf 9", "zzz", "shelf 11"])
    pages = await listed.pages(lambda: listed.add(f"{next(between, 'yet one')} new"), sort="name")
    assert [name for name in pages if not name.endswith("new")] == expected


async def test_what_an_older_release_wrote_is_indexed(listed: ListedCategory, database: Database) -> None:
    """An older release makes the columns that it knows, but not `search_version`."""
    product = await listed.add("before", tags=["Un"])
    connection = await database("catalog")
    await connection.execute(
        """
        UPDATE product SET name = 'Zażółć 9', tags = '{Deux,deux}', attributes = '{"Material": "felt"}',
                           version = version + 1, indexed_version = version + 1
        WHERE id = $1
        """,
        product.id,
    )
    await connection.execute("UPDATE category SET name = 'Ähre ' || name WHERE id = $1", listed.category.id)
    for name in ("Zażółć 10", "Zamek"):
        await listed.add(name)

    async def is_indexed() -> bool:
        for filters in ({"q": "zazolc 9"}, {"tag": "DEUX"}, {"attribute": {"Material": "felt"}}, {"q": "felt"}):
            assert [found.id for found in (await _list(listed, **filters)).items] == [product.id]
        keyed = await connection.fetchval("SELECT keyed_name = name FROM category WHERE id = $1", listed.category.id)
        assert keyed is True
        return True

    await eventually(is_indexed)
    sorted_ids = [found.id for found in (await _list(listed, sort="name")).items]
    assert sorted_ids.index(product.id) == 1, "Zamek, Zażółć 9, Zażółć 10"
    assert await connection.fetchval("SELECT count(*) FROM product WHERE search_version <> version") == 0


async def _list(listed: ListedCategory, **filters: Any) -> Any:
    return await listed.client.edge(catalog.LIST_PRODUCTS, {"category": listed.category.slug, **filters})


async def test_lists_and_search_use_their_indexes(listed: ListedCategory, database: Database) -> None:
    """The planner has an index for each: with scans of the whole table forbidden, none is left."""
    connection = await database("catalog")
    async with connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        for statement, index in (
            ("SELECT id FROM product WHERE is_active ORDER BY name_key, id LIMIT 5", "product_by_name_key"),
            ("SELECT id FROM product WHERE is_active AND tag_keys @> ARRAY['red']", "product_by_tag_key"),
            ("SELECT id FROM product WHERE terms @@ 'lamp'::tsquery", "product_terms"),
            ("SELECT id FROM product WHERE search_version <> version ORDER BY id LIMIT 5", "product_to_search"),
            ("SELECT id FROM product WHERE facet_ids && '{7}'", "product_by_facet"),
            ("SELECT id FROM category WHERE keyed_name <> name ORDER BY id LIMIT 5", "category_to_index"),
            ("SELECT id FROM category ORDER BY name_key, id LIMIT 5", "category_by_name_key"),
            (
                "SELECT name FROM product WHERE to_tsvector('simple', folded_name) @@ 'lamp'::tsquery",
                "product_folded_words",
            ),
        ):
            plan = await connection.fetch(f"EXPLAIN {statement}")
            assert any(index in row[0] for row in plan), plan
