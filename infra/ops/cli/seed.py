"""`souk seed`: the demo catalogue, brought in over HTTP as an administrator would do it.

It is known by its slugs: what is there already stays as it is, so that a second run changes nothing and one that was
interrupted is completed by the next.
"""

import asyncio
import hashlib
import tomllib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, TypeVar

import aiohttp
import orjson
import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from infra.ops.cli.admin_account import Api, Credentials, Refusal, ensure_admin, given_credentials, signed_in
from infra.ops.cli.demo_images import PALETTES, Palette, picture
from infra.ops.cli.running_stack import Running
from infra.ops.devstack.endpoints import Whereabouts
from infra.ops.devstack.errors import StackError

CATALOGUE = Path(__file__).with_name("demo_catalog.toml")
PRODUCTS_AT_ONCE, PICTURES_AT_ONCE = 4, 2
TAKEN = frozenset({"slug_taken", "sku_taken"})
SEEDED = "seeded"

ItemT = TypeVar("ItemT")
DoneT = TypeVar("DoneT")

Told = Callable[[str, int, int], None]
"""Hears what is being done, how many of it are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was made now; `unchanged` products were there before."""

    categories: int = 0
    products: int = 0
    pictures: int = 0
    unchanged: int = 0

    @property
    def nothing_new(self) -> bool:
        return not (self.categories or self.products or self.pictures)


def seed_command(
    *,
    data: Annotated[Path | None, typer.Option(help="The data folder (SOUK_DATA; .souk).")] = None,
    url: Annotated[str, typer.Option(help="A shop elsewhere; who its administrator is says the environment.")] = "",
) -> None:
    """Bring the demo catalogue into the running shop. A second time changes nothing."""
    console = Console(highlight=False)
    with Progress(console=console, transient=True) as progress:
        report = asyncio.run(_seed(data, url, _shown(progress)))
    if report.nothing_new:
        console.print(f"The demo catalogue is there already: {report.unchanged} products.")
    else:
        console.print(
            f"{report.categories} categories, {report.products} products and {report.pictures} pictures are new; "
            f"{report.unchanged} products were there already."
        )


async def _seed(data: Path | None, url: str, told: Told) -> Report:
    if url:
        return await seed(url, given_credentials(), told)
    running = Running(data)
    return await seed(_address(running), (await ensure_admin(running)).credentials, told)


async def seed_if_new(stack: Whereabouts, *, catalogue: bool = True) -> asyncio.Task[None] | None:
    """The administrator's account at every start; the demo catalogue once: what is removed later stays away.

    The products are there when this returns. Their pictures take longer and follow in the task, for whoever waits.
    """
    admin = await ensure_admin(stack)
    if admin.new:
        password = admin.credentials.password.get_secret_value()
        typer.echo(f"The administrator of this shop is {admin.credentials.email}, password {password}")
    if not catalogue or (stack.layout.data / SEEDED).exists():
        return None
    await _try_to_seed(stack, admin.credentials, pictures=False)
    return asyncio.create_task(_try_to_seed(stack, admin.credentials, pictures=True))


async def _try_to_seed(stack: Whereabouts, credentials: Credentials, *, pictures: bool) -> None:
    """A shop without its demo catalogue is a shop: what goes wrong is told, and tried again at the next start."""
    try:
        await seed(_address(stack), credentials, pictures=pictures)
    except StackError as error:
        typer.echo(f"The demo catalogue is not complete; `souk seed` completes it. {error.message}")
    else:
        if pictures:
            (stack.layout.data / SEEDED).touch()


def _address(where: Whereabouts) -> str:
    """An edge rather than Nginx, whose limits are for strangers."""
    return next(iter(where.edge_urls), where.http_url)


async def seed(
    base_url: str, credentials: Credentials, told: Told = lambda *_: None, *, pictures: bool = True
) -> Report:
    """Brings in what is missing of the catalogue."""
    catalogue = tomllib.loads(CATALOGUE.read_text())
    async with signed_in(base_url, credentials) as api:
        return await Stall(api, catalogue, told).fill(pictures=pictures)


class Stall:
    """One shop's way to the demo catalogue."""

    def __init__(self, api: Api, catalogue: Mapping[str, Any], told: Told) -> None:
        self.api = api
        self.categories: list[dict[str, str]] = catalogue["categories"]
        self.products: list[dict[str, Any]] = catalogue["products"]
        self.currency: str = catalogue["currency"]
        self.told = told

    async def fill(self, *, pictures: bool) -> Report:
        known, made = await self._open_categories()
        found = await _each(
            self.products, lambda product: self._offer(product, known), PRODUCTS_AT_ONCE, self._telling("products")
        )
        new = sum(is_new for _, is_new in found)
        bare = [product for product, _ in found if pictures and product is not None and not product["images"]]
        await _each(bare, self._illustrate, PICTURES_AT_ONCE, self._telling("pictures"))
        return Report(categories=made, products=new, pictures=len(bare), unchanged=len(found) - new)

    async def _open_categories(self) -> tuple[dict[str, str], int]:
        """The ids of the categories by slug, and how many of them are new; parents come before their children."""
        known = {category["slug"]: category["id"] for category in await self._every_category()}
        missing = [category for category in self.categories if category["slug"] not in known]
        for category in missing:
            parent = known[category["parent"]] if "parent" in category else None
            body = {"slug": category["slug"], "name": category["name"], "parent_id": parent}
            known[category["slug"]] = (await self.api.post("/categories", body, key=_key(body)))["id"]
        return known, len(missing)

    async def _every_category(self) -> list[dict[str, Any]]:
        found, after = [], ""
        while True:
            page = await self.api.get(f"/categories?limit=100{after}")
            found += page["items"]
            if not page["next"]:
                return found
            after = f"&after={page['next']}"

    async def _offer(self, product: Mapping[str, Any], known: Mapping[str, str]) -> tuple[dict[str, Any] | None, bool]:
        """The product as the shop has it, and whether it is new. None when it was taken off sale."""
        try:
            return await self.api.get(f"/products/{product['slug']}"), False
        except Refusal as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise
        body = wanted(product, known, self.currency)
        try:
            return await self.api.post("/products", body, key=_key(body)), True
        except Refusal as refusal:
            if refusal.code not in TAKEN:
                raise
            return None, False

    async def _illustrate(self, product: Mapping[str, Any]) -> None:
        content = await asyncio.to_thread(picture, product["slug"], self._palette(product["category"]))

        def form() -> aiohttp.FormData:
            data = aiohttp.FormData()
            data.add_field("image", content, filename=f"{product['slug']}.jpg", content_type="image/jpeg")
            data.add_field("alt", f"A pattern for {product['name']}")
            return data

        key = f"picture-{hashlib.sha256(content).hexdigest()}-{product['id']}"
        await self.api.send("POST", f"/products/{product['id']}/images", form, key=key)

    def _palette(self, slug: str) -> Palette:
        """The palette of the category or of the one above it."""
        parents = {category["slug"]: category.get("parent", "") for category in self.categories}
        while slug not in PALETTES and parents.get(slug):
            slug = parents[slug]
        return PALETTES.get(slug, next(iter(PALETTES.values())))

    def _telling(self, what: str) -> Callable[[int, int], None]:
        return lambda done, of: self.told(what, done, of)


def wanted(product: Mapping[str, Any], categories: Mapping[str, str], currency: str) -> dict[str, Any]:
    """A product of the file as `POST /products` takes it."""
    body = {name: value for name, value in product.items() if name != "category"}
    body["category_id"] = categories[product["category"]]
    if "variants" in body:
        body["variants"] = [_priced(variant, currency) for variant in body["variants"]]
    return _priced(body, currency)


def _priced(said: Mapping[str, Any], currency: str) -> dict[str, Any]:
    prices = {
        name: {"amount": said[name], "currency": currency} for name in ("price", "compare_at_price") if name in said
    }
    return {**said, **prices}


def _key(body: Mapping[str, Any]) -> str:
    """The same thing, said twice, is one request."""
    return f"seed-{hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()}"


async def _each(
    items: Collection[ItemT], act: Callable[[ItemT], Awaitable[DoneT]], at_once: int, told: Callable[[int, int], None]
) -> list[DoneT]:
    """A few at a time; the first that fails ends it."""
    free, done = asyncio.Semaphore(at_once), 0

    async def one(item: ItemT) -> DoneT:
        nonlocal done
        async with free:
            result = await act(item)
        done += 1
        told(done, len(items))
        return result

    tasks = [asyncio.create_task(one(item)) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _shown(progress: Progress) -> Told:
    bars: dict[str, TaskID] = {}

    def told(what: str, done: int, of: int) -> None:
        if what not in bars:
            bars[what] = progress.add_task(what, total=of)
        progress.update(bars[what], completed=done, total=of)

    return told
