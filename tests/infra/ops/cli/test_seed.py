"""The demo catalogue: what is in the file, and how it comes into a shop."""

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
from infra.ops.cli.admin_account import Api, Refusal, ensure_admin, given_credentials, signed_in
from infra.ops.cli.demo_images import PALETTES, picture
from infra.ops.cli.seed import CATALOGUE, SEEDED, Report, Stall, seed, seed_if_new, wanted
from infra.ops.devstack.data_dir import layout_of
from infra.ops.devstack.endpoints import Whereabouts
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.secret_files import OPERATOR, Vault
from infra.ops.devstack.stack import Stack

FILE: dict[str, Any] = tomllib.loads(CATALOGUE.read_text())


def unheard(_what: str, _done: int, _of: int) -> None:
    """Nobody looks at the progress."""


@pytest.fixture
def apart(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Whereabouts:
    """The same shop as somebody sees it who has never started it, and has an administrator of their own."""
    where = Whereabouts(stack.options)
    where.addresses = stack.addresses
    where.layout = layout_of(tmp_path)
    where.vault = Vault(tmp_path / "secrets")
    shutil.copytree(stack.vault.of(OPERATOR), where.vault.folder / OPERATOR)
    monkeypatch.setenv("SOUK_ADMIN_EMAIL", f"{new_id().hex}@example.com")
    monkeypatch.delenv("SOUK_ADMIN_PASSWORD", raising=False)
    return where


@pytest.fixture
async def api(apart: Whereabouts) -> AsyncIterator[Api]:
    admin = await ensure_admin(apart)
    async with signed_in(apart.http_url, admin.credentials) as opened:
        yield opened


@pytest.fixture
def two_products() -> dict[str, Any]:
    """A catalogue that no other test has brought in."""
    mark = new_id().hex
    parent, child = (
        {"slug": f"p-{mark}", "name": "Things"},
        {"slug": f"c-{mark}", "name": "Lamps", "parent": f"p-{mark}"},
    )
    lamp = {
        "slug": f"lamp-{mark}",
        "name": "Lamp",
        "category": child["slug"],
        "sku": f"L-{mark}",
        "price": 100,
        "stock": 3,
    }
    packet = {"sku": f"T-{mark}", "price": 250, "compare_at_price": 300, "options": {"Weight": "50 g"}}
    tea = {"slug": f"tea-{mark}", "name": "Tea", "category": parent["slug"], "variants": [packet]}
    return {"currency": "USD", "categories": [parent, child], "products": [lamp, tea]}


def test_the_file_holds_what_the_shop_takes() -> None:
    ids = {category["slug"]: str(new_id()) for category in FILE["categories"]}
    for category in FILE["categories"]:
        CreateCategory(slug=category["slug"], name=category["name"])
    for product in FILE["products"]:
        CreateProduct.model_validate_json(orjson.dumps(wanted(product, ids, FILE["currency"])))
    assert len(FILE["products"]) == 40


def test_nothing_in_the_file_is_there_twice() -> None:
    variants = [variant for product in FILE["products"] for variant in product.get("variants", [product])]
    for names in (
        [variant["sku"] for variant in variants],
        [product["slug"] for product in FILE["products"]],
        [product["name"] for product in FILE["products"]],
        [category["slug"] for category in FILE["categories"]],
    ):
        assert len(set(names)) == len(names)


def test_parents_come_before_their_children_and_every_category_is_used() -> None:
    seen: set[str] = set()
    for category in FILE["categories"]:
        assert category.get("parent") in {None, *seen}
        seen.add(category["slug"])
    used = {product["category"] for product in FILE["products"]}
    assert seen == used | {category["parent"] for category in FILE["categories"] if "parent" in category}
    assert {category["slug"] for category in FILE["categories"] if "parent" not in category} == set(PALETTES)


def test_a_picture_is_always_the_same_and_no_other() -> None:
    palette = PALETTES["light"]
    first = picture("moth-lantern", palette)
    assert first == picture("moth-lantern", palette)
    assert len({first, picture("fig-bowl", palette), picture("moth-lantern", PALETTES["table"])}) == 3
    with Image.open(io.BytesIO(first)) as image:
        assert (image.format, image.size) == ("JPEG", (1024, 1024))


async def test_a_second_time_changes_nothing(api: Api, two_products: dict[str, Any]) -> None:
    stall = Stall(api, two_products, unheard)
    assert await stall.fill(pictures=True) == Report(categories=2, products=2, pictures=2)
    lamp, tea = [await api.get(f"/products/{product['slug']}") for product in two_products["products"]]
    assert lamp["category"] == two_products["categories"][1]["slug"]
    assert lamp["variants"][0]["available"] == 3
    assert tea["variants"][0]["compare_at_price"] == {"amount": 300, "currency": "USD"}
    assert [len(product["images"]) for product in (lamp, tea)] == [1, 1]
    again = await stall.fill(pictures=True)
    assert again == Report(unchanged=2)
    assert again.nothing_new
    assert await api.get(f"/products/{lamp['slug']}") == lamp


async def test_what_was_interrupted_is_completed(api: Api, two_products: dict[str, Any]) -> None:
    first_only = {**two_products, "products": two_products["products"][:1]}
    assert await Stall(api, first_only, unheard).fill(pictures=False) == Report(categories=2, products=1)
    assert await Stall(api, two_products, unheard).fill(pictures=True) == Report(products=1, pictures=2, unchanged=1)


async def test_what_was_taken_off_sale_stays_away(api: Api, two_products: dict[str, Any]) -> None:
    stall = Stall(api, two_products, unheard)
    await stall.fill(pictures=False)
    slug = two_products["products"][0]["slug"]
    product = await api.get(f"/products/{slug}")
    await api.send("DELETE", f"/products/{product['id']}", lambda: None)
    assert (await stall.fill(pictures=False)).nothing_new
    with pytest.raises(Refusal, match="not_found"):
        await Api(api.session, api.url).get(f"/products/{slug}")


async def test_the_whole_file_comes_in_and_is_told_of(apart: Whereabouts) -> None:
    admin, told = await ensure_admin(apart), []
    report = await seed(apart.http_url, admin.credentials, lambda *step: told.append(step), pictures=False)
    assert report.products + report.unchanged == 40
    assert told[-1] == ("products", 40, 40)


async def test_a_password_is_made_up_once_and_kept_to_its_owner(apart: Whereabouts) -> None:
    first, second = await ensure_admin(apart), await ensure_admin(apart)
    assert (first.new, second.new) == (True, False)
    assert first.credentials == second.credentials
    kept = apart.vault.folder / "admin_password"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.read_text().strip() == first.credentials.password.get_secret_value()


async def test_a_given_password_is_kept_nowhere(apart: Whereabouts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUK_ADMIN_PASSWORD", "of somebody's choice")
    admin = await ensure_admin(apart)
    assert not admin.new
    assert not (apart.vault.folder / "admin_password").exists()
    assert given_credentials() == admin.credentials
    async with signed_in(apart.http_url, admin.credentials) as api:
        assert (await api.get("/inventory?limit=1"))["items"] is not None


@pytest.mark.parametrize(("name", "value"), [("SOUK_ADMIN_PASSWORD", "short"), ("SOUK_ADMIN_EMAIL", "nobody")])
async def test_an_account_that_cannot_be_is_told_plainly(
    apart: Whereabouts, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StackError, match=f"{name} cannot be used"):
        await ensure_admin(apart)


async def test_a_wrong_password_is_told_plainly(apart: Whereabouts, monkeypatch: pytest.MonkeyPatch) -> None:
    await ensure_admin(apart)
    monkeypatch.setenv("SOUK_ADMIN_PASSWORD", "not the one it was")
    with pytest.raises(StackError, match="does not let"):
        async with signed_in(apart.http_url, given_credentials()):
            pass


def test_a_shop_elsewhere_needs_to_be_told_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOUK_ADMIN_EMAIL", "SOUK_ADMIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StackError, match="SOUK_ADMIN_EMAIL and SOUK_ADMIN_PASSWORD"):
        given_credentials()


async def test_a_first_start_brings_it_in_and_says_the_password_once(
    apart: Whereabouts, two_products: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(seeding, "CATALOGUE", _written(two_products, tmp_path / "small.toml"))
    pictures = await seed_if_new(apart)
    said = capsys.readouterr().out
    assert (apart.vault.folder / "admin_password").read_text().strip() in said
    assert pictures is not None
    await pictures
    assert (apart.layout.data / SEEDED).exists()
    assert await seed_if_new(apart) is None
    assert capsys.readouterr().out == ""


async def test_a_start_without_the_catalogue_is_still_a_start(apart: Whereabouts, capsys: Any) -> None:
    free = asyncio.get_running_loop()
    server = await free.create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    apart.addresses = type(apart.addresses)(**{**vars(apart.addresses), "edges": {"edge": port}})
    pictures = await seed_if_new(apart)
    assert pictures is not None
    await pictures
    assert not (apart.layout.data / SEEDED).exists()
    assert re.search(r"not complete; `souk seed` completes it. Nobody answers at", capsys.readouterr().out)


def _written(catalogue: dict[str, Any], path: Path) -> Path:
    """As TOML, of which JSON's strings, numbers and lists are a part."""

    def value(said: Any) -> str:
        if isinstance(said, dict):
            return "{" + ", ".join(f'"{name}" = {value(one)}' for name, one in said.items()) + "}"
        if isinstance(said, list):
            return "[" + ", ".join(map(value, said)) + "]"
        return orjson.dumps(said).decode()

    path.write_text("\n".join(f"{name} = {value(said)}" for name, said in catalogue.items()))
    return path
