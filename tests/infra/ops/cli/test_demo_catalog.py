"""The demo catalog: its file, its images, and how it is loaded into a shop."""

import asyncio
import io
import re
import shutil
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image

from contracts.catalog import CreateCategory, CreateProduct
from infra.foundation.ids import new_id
from infra.ops.cli import seed as seeding
from infra.ops.cli.admin_client import AdminApi, ApiError, credentials_from_environment, ensure_admin, log_in
from infra.ops.cli.demo_images import PALETTES, draw_image
from infra.ops.cli.seed import (
    CATALOG_FILE,
    SEEDED_MARKER,
    DemoCatalog,
    SeedReport,
    product_body,
    seed,
    seed_on_first_start,
)
from infra.ops.devstack.data_dir import data_dir_at
from infra.ops.devstack.endpoints import StackEndpoints
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.secret_files import OPERATOR, SecretFiles
from infra.ops.devstack.stack import Stack

FILE: dict[str, Any] = tomllib.loads(CATALOG_FILE.read_text())


def ignore_progress(_what: str, _done: int, _of: int) -> None:
    """Ignores the progress."""


@pytest.fixture
def first_start(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackEndpoints:
    """Returns the running shop with another data folder, as on a first start, and another administrator."""
    where = StackEndpoints(stack.settings)
    where.ports = stack.ports
    where.data_dir = data_dir_at(tmp_path)
    where.secrets = SecretFiles(tmp_path / "secrets")
    shutil.copytree(stack.secrets.owner_dir(OPERATOR), where.secrets.root / OPERATOR)
    monkeypatch.setenv("SOUK_ADMIN_EMAIL", f"{new_id().hex}@example.com")
    monkeypatch.delenv("SOUK_ADMIN_PASSWORD", raising=False)
    return where


@pytest.fixture
async def api(first_start: StackEndpoints) -> AsyncIterator[AdminApi]:
    admin = await ensure_admin(first_start)
    async with log_in(first_start.http_url, admin.credentials) as opened:
        yield opened


@pytest.fixture
def two_products() -> dict[str, Any]:
    """A catalog that no other test has loaded."""
    suffix = new_id().hex
    parent, child = (
        {"slug": f"p-{suffix}", "name": "Things"},
        {"slug": f"c-{suffix}", "name": "Lamps", "parent": f"p-{suffix}"},
    )
    lamp = {
        "slug": f"lamp-{suffix}",
        "name": "Lamp",
        "category": child["slug"],
        "sku": f"L-{suffix}",
        "price": 100,
        "stock": 3,
    }
    packet = {"sku": f"T-{suffix}", "price": 250, "compare_at_price": 300, "options": {"Weight": "50 g"}}
    tea = {"slug": f"tea-{suffix}", "name": "Tea", "category": parent["slug"], "variants": [packet]}
    return {"currency": "USD", "categories": [parent, child], "products": [lamp, tea]}


def test_the_catalog_file_matches_the_contracts() -> None:
    ids = {category["slug"]: str(new_id()) for category in FILE["categories"]}
    for category in FILE["categories"]:
        CreateCategory(slug=category["slug"], name=category["name"])
    for product in FILE["products"]:
        CreateProduct.model_validate_json(orjson.dumps(product_body(product, ids, FILE["currency"])))
    assert len(FILE["products"]) == 40


def test_names_in_the_catalog_file_are_unique() -> None:
    variants = [variant for product in FILE["products"] for variant in product.get("variants", [product])]
    for names in (
        [variant["sku"] for variant in variants],
        [product["slug"] for product in FILE["products"]],
        [product["name"] for product in FILE["products"]],
        [category["slug"] for category in FILE["categories"]],
    ):
        assert len(set(names)) == len(names)


def test_categories_are_ordered_and_used() -> None:
    seen: set[str] = set()
    for category in FILE["categories"]:
        assert category.get("parent") in {None, *seen}
        seen.add(category["slug"])
    used = {product["category"] for product in FILE["products"]}
    assert seen == used | {category["parent"] for category in FILE["categories"] if "parent" in category}
    assert {category["slug"] for category in FILE["categories"] if "parent" not in category} == set(PALETTES)


def test_an_image_depends_only_on_its_name_and_palette() -> None:
    palette = PALETTES["light"]
    first = draw_image("moth-lantern", palette)
    assert first == draw_image("moth-lantern", palette)
    assert len({first, draw_image("fig-bowl", palette), draw_image("moth-lantern", PALETTES["table"])}) == 3
    with Image.open(io.BytesIO(first)) as image:
        assert (image.format, image.size) == ("JPEG", (1024, 1024))


async def test_loading_again_changes_nothing(api: AdminApi, two_products: dict[str, Any]) -> None:
    catalog = DemoCatalog(api, two_products, ignore_progress)
    assert await catalog.load(with_images=True) == SeedReport(categories=2, products=2, images=2)
    lamp, tea = [await api.get(f"/products/{product['slug']}") for product in two_products["products"]]
    assert lamp["category"] == two_products["categories"][1]["slug"]
    assert lamp["variants"][0]["available"] == 3
    assert tea["variants"][0]["compare_at_price"] == {"amount": 300, "currency": "USD"}
    assert [len(product["images"]) for product in (lamp, tea)] == [1, 1]
    again = await catalog.load(with_images=True)
    assert again == SeedReport(unchanged=2)
    assert again.is_unchanged
    assert await api.get(f"/products/{lamp['slug']}") == lamp


async def test_an_interrupted_load_is_completed(api: AdminApi, two_products: dict[str, Any]) -> None:
    first_only = {**two_products, "products": two_products["products"][:1]}
    assert await DemoCatalog(api, first_only, ignore_progress).load(with_images=False) == SeedReport(
        categories=2, products=1
    )
    assert await DemoCatalog(api, two_products, ignore_progress).load(with_images=True) == SeedReport(
        products=1, images=2, unchanged=1
    )


async def test_products_taken_off_sale_are_not_restored(api: AdminApi, two_products: dict[str, Any]) -> None:
    catalog = DemoCatalog(api, two_products, ignore_progress)
    await catalog.load(with_images=False)
    slug = two_products["products"][0]["slug"]
    product = await api.get(f"/products/{slug}")
    await api.request("DELETE", f"/products/{product['id']}", lambda: None)
    assert (await catalog.load(with_images=False)).is_unchanged
    with pytest.raises(ApiError, match="not_found"):
        await AdminApi(api.session, api.url).get(f"/products/{slug}")


async def test_the_whole_file_is_loaded_with_progress(first_start: StackEndpoints) -> None:
    admin, progress = await ensure_admin(first_start), []
    report = await seed(first_start.http_url, admin.credentials, lambda *step: progress.append(step), with_images=False)
    assert report.products + report.unchanged == 40
    assert progress[-1] == ("products", 40, 40)


async def test_a_password_is_generated_once_and_readable_by_its_owner_only(first_start: StackEndpoints) -> None:
    first, second = await ensure_admin(first_start), await ensure_admin(first_start)
    assert (first.is_password_new, second.is_password_new) == (True, False)
    assert first.credentials == second.credentials
    stored = first_start.secrets.root / "admin_password"
    assert stored.stat().st_mode & 0o777 == 0o600
    assert stored.read_text().strip() == first.credentials.password.get_secret_value()


async def test_a_given_password_is_not_stored(first_start: StackEndpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUK_ADMIN_PASSWORD", "a chosen password")
    admin = await ensure_admin(first_start)
    assert not admin.is_password_new
    assert not (first_start.secrets.root / "admin_password").exists()
    assert credentials_from_environment() == admin.credentials
    async with log_in(first_start.http_url, admin.credentials) as api:
        assert (await api.get("/inventory?limit=1"))["items"] is not None


@pytest.mark.parametrize(("name", "value"), [("SOUK_ADMIN_PASSWORD", "short"), ("SOUK_ADMIN_EMAIL", "not-an-address")])
async def test_an_invalid_account_gets_a_clear_error(
    first_start: StackEndpoints, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StackError, match=f"{name} is not valid"):
        await ensure_admin(first_start)


async def test_a_wrong_password_gets_a_clear_error(
    first_start: StackEndpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ensure_admin(first_start)
    monkeypatch.setenv("SOUK_ADMIN_PASSWORD", "not the one it was")
    with pytest.raises(StackError, match="refuses the password"):
        async with log_in(first_start.http_url, credentials_from_environment()):
            pass


def test_a_remote_shop_needs_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOUK_ADMIN_EMAIL", "SOUK_ADMIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StackError, match="SOUK_ADMIN_EMAIL and SOUK_ADMIN_PASSWORD"):
        credentials_from_environment()


async def test_the_first_start_loads_the_catalog_and_prints_the_password_once(
    first_start: StackEndpoints,
    two_products: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    monkeypatch.setattr(seeding, "CATALOG_FILE", _written(two_products, tmp_path / "small.toml"))
    loading = await seed_on_first_start(first_start)
    output = capsys.readouterr().out
    assert (first_start.secrets.root / "admin_password").read_text().strip() in output
    assert loading is not None
    await loading
    assert (first_start.data_dir.path / SEEDED_MARKER).exists()
    assert await seed_on_first_start(first_start) is None
    assert capsys.readouterr().out == ""


async def test_a_failed_load_does_not_fail_the_start(first_start: StackEndpoints, capsys: Any) -> None:
    free = asyncio.get_running_loop()
    server = await free.create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    first_start.ports = type(first_start.ports)(**{**vars(first_start.ports), "edges": {"edge": port}})
    loading = await seed_on_first_start(first_start)
    assert loading is not None
    await loading
    assert not (first_start.data_dir.path / SEEDED_MARKER).exists()
    assert re.search(r"not complete\. Complete it with `souk seed`\. No shop answers at", capsys.readouterr().out)


def _written(catalog: dict[str, Any], path: Path) -> Path:
    """Writes TOML. Its strings, numbers and lists are written as in JSON."""

    def value(item: Any) -> str:
        if isinstance(item, dict):
            return "{" + ", ".join(f'"{name}" = {value(one)}' for name, one in item.items()) + "}"
        if isinstance(item, list):
            return "[" + ", ".join(map(value, item)) + "]"
        return orjson.dumps(item).decode()

    path.write_text("\n".join(f"{name} = {value(item)}" for name, item in catalog.items()))
    return path
