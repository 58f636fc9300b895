"""An import changes only the products that its rows name by their exact handle, and only by what the rows say."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts import catalog
from contracts.catalog import Category, Product, ProductImport, ProductImportStatus
from infra.foundation.ids import new_id
from services.catalog.domain.slugs import RESERVED_SLUGS, slugify
from tests.services.catalog.conftest import CatalogClient, ImportFiles, line, usd
from tests.support.eventually import eventually

CASES = Path(__file__).parents[3] / ".." / "shared" / "data" / "cases"
HEADER = "Handle,Title,Type,Tags,Variant SKU,Variant Inventory Qty,Variant Price\n"
FindProducts = Callable[..., Awaitable[list[Product]]]


def outcomes(job: ProductImport) -> tuple[int, int, int]:
    return job.created, job.updated, job.unchanged


@pytest.fixture
def mark() -> str:
    """Tells the products of a test from all others, also in their slugs."""
    return new_id().hex


@pytest.fixture
async def products_tagged(client: CatalogClient) -> FindProducts:
    """Finds all products with a tag, in the order of their creation."""

    async def find(tag: str) -> list[Product]:
        page = await client.as_admin(catalog.LIST_PRODUCTS, {"tag": tag, "limit": 100})
        assert page.next is None
        return sorted(page.items, key=lambda product: product.id)

    return find


COLLIDING = {
    "accents": ["crème-{0}", "creme-{0}", "crémé-{0}"],
    "signs": ["a+{0}", "a-{0}", "a {0}", "a_{0}", "a.{0}", "A-{0}"],
    "Arabic": ["إبريق-نحاس {0}", "إبريق-فخار {0}", "إبريق {0}"],
    "Japanese": ["湯呑み {0}", "茶碗 {0}"],
    "Cyrillic": ["самовар {0}", "чайник {0}"],
    "the first 120 characters": ["{0}" + "x" * 150 + end for end in "abc"],
    "more than a row holds": ["{0}" + "x" * 400 + end for end in "ab"],
    "no letter at all": ["+++{0}", "---{0}", "***{0}"],
}


@pytest.mark.parametrize("pattern", COLLIDING.values(), ids=COLLIDING)
async def test_handles_with_the_same_slug_are_different_products(
    files: ImportFiles, products_tagged: FindProducts, mark: str, pattern: list[str]
) -> None:
    handles = [one.format(mark) for one in pattern]
    rows = [f"{handle},Name {n},,{mark},S{n}-{mark},{n},{n + 1}.50\n" for n, handle in enumerate(handles)]
    first = await files.run_import(HEADER + "".join(rows))
    assert (first.products, outcomes(first), first.errors) == (len(handles), (len(handles), 0, 0), [])
    found = await products_tagged(mark)
    assert [(one.name, one.price.amount, one.variants[0].available) for one in found] == [
        (f"Name {n}", n * 100 + 150, n) for n in range(len(handles))
    ]
    assert len({one.slug for one in found}) == len(handles)
    again = await files.run_import(HEADER + "".join(reversed(rows)))
    assert (again.products, outcomes(again)) == (len(handles), (0, 0, len(handles)))
    assert await products_tagged(mark) == found


async def test_a_product_with_a_paid_order_is_not_replaced_by_a_similar_handle(
    client: CatalogClient, files: ImportFiles, products_tagged: FindProducts, mark: str
) -> None:
    await files.run_import(HEADER + f"vase-{mark},Vase,,{mark},V-{mark},5,9\n")
    held = await client.hold(line(f"V-{mark}", 2))
    await client.publish_paid(held.hold_id, f"V-{mark}", 2)
    await client.wait_for_stock(f"V-{mark}", 3, 0)
    (before,) = await products_tagged(mark)
    job = await files.run_import(HEADER + f"vasé-{mark},Other vase,,{mark},O-{mark},1,1\n")
    assert outcomes(job) == (1, 0, 0)
    assert (await products_tagged(mark))[0] == before


async def test_a_product_of_the_api_is_known_by_exactly_its_slug(
    client: CatalogClient, files: ImportFiles, products_tagged: FindProducts, mark: str
) -> None:
    body = {"name": f"Tray {mark}", "sku": f"T-{mark}", "price": usd(5), "tags": [mark]}
    made = await client.as_admin(catalog.CREATE_PRODUCT, body)
    similar = f"Tray+{mark}"
    assert slugify(similar) == made.slug
    job = await files.run_import(HEADER + f"{similar},Another,,{mark},A-{mark},1,1\n")
    assert outcomes(job) == (1, 0, 0)
    assert (await products_tagged(mark))[0] == made
    job = await files.run_import(HEADER + f"{made.slug},Tray,,{mark},T-{mark},,6\n")
    assert outcomes(job) == (0, 1, 0)
    (after, _) = await products_tagged(mark)
    assert (after.id, after.price.amount) == (made.id, 600)


@pytest.mark.parametrize("word", sorted(RESERVED_SLUGS))
async def test_a_handle_that_is_a_word_of_a_path_gets_another_slug(
    client: CatalogClient, files: ImportFiles, word: str
) -> None:
    text = HEADER + f"{word},A {word},,,{word}-{new_id().hex},1,1\n"
    job = await files.run_import(text)
    assert (job.products, job.errors) == (1, [])
    page = await client.as_admin(catalog.LIST_PRODUCTS, {"q": f"A {word}", "limit": 100})
    assert any(one.name == f"A {word}" and one.slug.startswith(f"{word}-") for one in page.items)


async def find_categories(client: CatalogClient, *names: str) -> list[Category]:
    found: list[Category] = []
    after: str | None = None
    while True:
        page = await client.as_admin(catalog.LIST_CATEGORIES, {"limit": 100, **({"after": after} if after else {})})
        found += [one for one in page.items if one.name in names]
        after = page.next
        if after is None:
            return found


async def test_categories_are_told_apart_by_their_names(
    client: CatalogClient, files: ImportFiles, products_tagged: FindProducts, mark: str
) -> None:
    names = [f"C++ {mark}", f"C# {mark}", f"صحون {mark}", f"茶器 {mark}", "k" * 100 + mark, "k" * 100 + f"x{mark}"]
    rows = [f"{mark}-{n},P{n},{name},{mark},{n}-{mark},1,1\n" for n, name in enumerate(names)]
    await files.run_import(HEADER + "".join(rows))
    found = await products_tagged(mark)
    assert len({one.category for one in found}) == len(names)
    assert len(await find_categories(client, *names)) == 4
    assert outcomes(await files.run_import(HEADER + "".join(rows))) == (0, 0, len(names))


async def test_a_category_is_found_in_any_case_and_after_it_was_renamed(
    client: CatalogClient, files: ImportFiles, products_tagged: FindProducts, mark: str
) -> None:
    category = await client.as_admin(catalog.CREATE_CATEGORY, {"name": f"Bowls {mark}"})
    await files.run_import(HEADER + f"{mark},Bowl,BOWLS {mark},{mark},B-{mark},1,1\n")
    change = {"id": str(category.id), "name": f"Dishes {mark}"}
    await client.as_admin(catalog.REPLACE_CATEGORY, change)
    job = await files.run_import(HEADER + f"{mark},Bowl,bowls {mark},{mark},B-{mark},1,1\n")
    assert outcomes(job) == (0, 0, 1)
    (product,) = await products_tagged(mark)
    assert product.category == category.slug


async def test_a_missing_column_leaves_what_is_stored(
    client: CatalogClient, files: ImportFiles, products_tagged: FindProducts, mark: str
) -> None:
    body = {
        "name": "Jug",
        "slug": f"jug-{mark}",
        "sku": f"J-{mark}",
        "price": usd(5),
        "compare_at_price": usd(9),
        "weight_grams": 700,
        "description": "For water",
        "tags": [mark],
    }
    made = await client.as_admin(catalog.CREATE_PRODUCT, body)
    await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(made.id), "is_active": False})
    await files.run_import(f"Handle,Title,Variant SKU,Variant Price\njug-{mark},Jug,J-{mark},6\n")
    after = await client.as_admin(catalog.GET_PRODUCT, {"key": str(made.id)})
    variant = after.variants[0]
    assert (after.description, after.tags, after.is_active) == ("For water", [mark], False)
    assert (variant.price.amount, variant.compare_at_price.amount, variant.weight_grams) == (600, 9, 700)
    text = f"Handle,Title,Body (HTML),Variant SKU,Variant Price\njug-{mark},Jug,,J-{mark},6\n"
    cleared = await files.run_import(text)
    assert outcomes(cleared) == (0, 1, 0)
    assert (await client.as_admin(catalog.GET_PRODUCT, {"key": str(made.id)})).description == ""


async def test_a_dry_run_reports_the_same_and_changes_nothing(
    client: CatalogClient, files: ImportFiles, products_tagged: FindProducts, mark: str
) -> None:
    await files.run_import(HEADER + f"a-{mark},A,,{mark},A-{mark},1,1\nb-{mark},B,,{mark},B-{mark},1,1\n")
    before = await products_tagged(mark)
    text = HEADER + f"a-{mark},A,,{mark},A-{mark},1,1\nb-{mark},B,Kind {mark},{mark},B-{mark},7,.75\n"
    text += f"c-{mark},C,,{mark},C-{mark},1,1\nd-{mark},D,,{mark},C-{mark},1,1\ne-{mark},E,,,,,none\n"
    tried = await files.run_import(text, dry_run=True)
    assert await products_tagged(mark) == before
    assert await client.stock_level(f"B-{mark}") == (1, 0)
    assert not await find_categories(client, f"Kind {mark}")
    done = await files.run_import(text)
    assert (tried.dry_run, done.dry_run) == (True, False)
    assert outcomes(tried) == outcomes(done) == (2, 1, 1)
    assert (tried.rows, tried.products, tried.variants) == (done.rows, done.products, done.variants) == (5, 4, 4)
    assert [(one.line, one.field) for one in tried.warnings] == [(3, "Variant Price"), (5, "Variant SKU")]
    assert (tried.warnings, tried.errors) == (done.warnings, done.errors)


async def test_a_long_description_is_cut(client: CatalogClient, files: ImportFiles, mark: str) -> None:
    rows = [f"{mark}-{n},Long,{text},1\n" for n, text in enumerate(("b" * 20_500, "<p>" + "a &amp; b < c " * 3000))]
    job = await files.run_import("Handle,Title,Body (HTML),Price\n" + "".join(rows))
    assert (outcomes(job), job.errors) == ((2, 0, 0), [])
    assert [(warning.line, warning.field) for warning in job.warnings] == [(2, "Body (HTML)"), (3, "Body (HTML)")]
    assert all(warning.value for warning in job.warnings)
    for n in range(2):
        product = await client.as_admin(catalog.GET_PRODUCT, {"key": f"{mark}-{n}"})
        assert 18_000 < len(product.description) <= 20_000
    again = await files.run_import("Handle,Title,Body (HTML),Price\n" + "".join(rows))
    assert outcomes(again) == (0, 0, 2)


async def test_an_import_waits_for_a_lock_without_starting_again(
    client: CatalogClient, files: ImportFiles, mark: str, database: Callable[[str], Awaitable[Any]]
) -> None:
    text = HEADER + f"{mark},Lamp,,,L-{mark},1,1\n"
    await files.run_import(text)
    connection = await database("catalog")
    async with connection.transaction():
        await connection.execute("SELECT 1 FROM product WHERE handle = $1 FOR UPDATE", mark)
        job = await files.start(text.replace(",1,1", ",1,2"))
        first = await eventually(lambda: _waiting(connection), timeout_seconds=10)

        async def waits_in_another_transaction() -> bool:
            return bool(await _waiting(connection) - first)

        await eventually(waits_in_another_transaction, timeout_seconds=10)
    done = await files.wait_until_done(job)
    assert (done.status, outcomes(done)) == (ProductImportStatus.DONE, (0, 1, 0))
    assert await connection.fetchval("SELECT attempts FROM import_job WHERE id = $1", job.id) == 1


async def test_an_import_goes_on_at_once_after_its_connection_was_lost(
    files: ImportFiles, mark: str, database: Callable[[str], Awaitable[Any]]
) -> None:
    text = HEADER + f"{mark},Lamp,,,L-{mark},1,1\n"
    await files.run_import(text)
    connection = await database("catalog")
    async with connection.transaction():
        await connection.execute("SELECT 1 FROM product WHERE handle = $1 FOR UPDATE", mark)
        job = await files.start(text.replace(",1,1", ",1,2"))
        for pid, _ in await eventually(lambda: _waiting(connection), timeout_seconds=10):
            await connection.execute("SELECT pg_terminate_backend($1)", pid)
    async with asyncio.timeout(6):  # far less than the time after which another process takes over
        done = await files.wait_until_done(job)
    assert (done.status, outcomes(done)) == (ProductImportStatus.DONE, (0, 1, 0))


async def _waiting(connection: Any) -> set[tuple[int, Any]]:
    """The processes and transactions that wait for a lock on an imported product."""
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    rows = await connection.fetch(
        "SELECT pid, xact_start FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%handle = $1%'"
    )
    return {(row["pid"], row["xact_start"]) for row in rows}


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not available")
async def test_imports_the_cases_of_other_shops(files: ImportFiles) -> None:
    jobs = {}
    for name in ("colliding-handles", "side-fields", "new-dialect", "semicolon-cp1252"):
        content = (CASES / f"{name}.csv").read_bytes()
        first, jobs[name] = await files.run_import(content), await files.run_import(content)
        assert first.products == jobs[name].products == jobs[name].unchanged
        assert (first.warnings, first.errors) == (jobs[name].warnings, jobs[name].errors)
    assert {name: (job.products, job.variants, len(job.errors)) for name, job in jobs.items()} == {
        "colliding-handles": (7, 7, 0),
        "side-fields": (12, 12, 1),
        "new-dialect": (1, 2, 0),
        "semicolon-cp1252": (1, 1, 0),
    }
    (error,) = jobs["side-fields"].errors
    assert (error.line, error.handle, error.field) == (15, "no-price", "Variant Price")
    assert [(one.line, one.value[:12]) for one in jobs["side-fields"].warnings] == [
        (2, "226.796185"),
        (3, "1,200"),
        (4, ".99"),
        (8, "SAME-1"),
        (9, "tttttttttttt"),
        (10, "Title on\ntwo"),
    ]


async def test_a_file_brings_a_product_back_under_another_slug_and_sku_when_its_own_are_taken(
    client: CatalogClient, files: ImportFiles, mark: str
) -> None:
    text = f"Handle,Title,Status,Variant SKU,Variant Price\njug-{mark},Jug,active,J-{mark},6\n"
    await files.run_import(text)
    old = await client.as_admin(catalog.GET_PRODUCT, {"key": f"jug-{mark}"})
    assert outcomes(await files.run_import(text.replace("active", "archived"))) == (0, 1, 0)
    body = {"name": "Mug", "slug": f"jug-{mark}", "sku": f"J-{mark}", "price": usd(5)}
    taker = await client.as_admin(catalog.CREATE_PRODUCT, body)
    assert outcomes(await files.run_import(text.replace("active", "archived"))) == (0, 0, 1)
    job = await files.run_import(text)
    assert (outcomes(job), [warning.field for warning in job.warnings]) == ((0, 1, 0), ["Variant SKU"])
    back = await client.edge(catalog.GET_PRODUCT, {"key": str(old.id)})
    assert back.slug.startswith(f"jug-{mark}-")
    assert back.variants[0].sku != f"J-{mark}"
    assert await client.edge(catalog.GET_PRODUCT, {"key": f"jug-{mark}"}) == taker


async def test_a_draft_of_a_file_is_published_by_a_later_one_but_a_schedule_stays(
    client: CatalogClient, files: ImportFiles, mark: str
) -> None:
    text = f"Handle,Title,Status,Variant SKU,Variant Price\njug-{mark},Jug,STATUS,J-{mark},6\n"
    for status, expected in (("draft", "draft"), ("draft", "draft"), ("active", "active"), ("draft", "draft")):
        await files.run_import(text.replace("STATUS", status))
        product = await client.as_admin(catalog.GET_PRODUCT, {"key": f"jug-{mark}"})
        assert product.status == expected
    scheduled = {"id": str(product.id), "publish_at": "2999-01-01T00:00:00Z"}
    await client.as_admin(catalog.CHANGE_PRODUCT, scheduled)
    assert outcomes(await files.run_import(text.replace("STATUS", "active"))) == (0, 0, 1)
