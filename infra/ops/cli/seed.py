"""`souk seed`: loads the demo catalog over HTTP, as an administrator would.

Products are recognised by their slugs and existing ones are not changed. So a second run changes nothing, and it
completes a run that was interrupted.
"""

import asyncio
import hashlib
import tomllib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import orjson
import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from infra.ops.cli.admin_client import (
    AdminApi,
    AdminCredentials,
    ApiError,
    credentials_from_environment,
    ensure_admin,
    log_in,
)
from infra.ops.cli.demo_images import PALETTES, Palette, draw_image
from infra.ops.cli.options import DataOption, UrlOption
from infra.ops.cli.running_stack import RunningStack
from infra.ops.devstack.endpoints import StackEndpoints
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.private_files import create_private_file

CATALOG_FILE = Path(__file__).with_name("demo_catalog.toml")
PRODUCT_CONCURRENCY, IMAGE_CONCURRENCY = 4, 2
DUPLICATE_CODES = frozenset({"slug_taken", "sku_taken"})
SEEDED_MARKER = "seeded"

ItemT = TypeVar("ItemT")
DoneT = TypeVar("DoneT")

SeedProgress = Callable[[str, int, int], None]
"""Called with what is being loaded, how many of it are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class SeedReport:
    """How many of each were created. `unchanged` products existed before."""

    categories: int = 0
    products: int = 0
    images: int = 0
    unchanged: int = 0

    @property
    def is_unchanged(self) -> bool:
        """Tells whether nothing was created."""
        return not (self.categories or self.products or self.images)


def seed_command(
    *,
    data: DataOption = None,
    url: UrlOption = "",
) -> None:
    """Load the demo catalog, 40 products with images, into a running shop. Running it again changes nothing.

    Example: souk seed --url https://shop.example
    """
    console = Console(highlight=False)
    with Progress(console=console, transient=True) as progress:
        report = asyncio.run(_seed(data, url, _progress_bars(progress)))
    if report.is_unchanged:
        console.print(f"The demo catalog is complete already: {report.unchanged} products.")
    else:
        console.print(
            f"Created {report.categories} categories, {report.products} products and {report.images} images. "
            f"{report.unchanged} products existed already."
        )


async def _seed(data: Path | None, url: str, on_progress: SeedProgress) -> SeedReport:
    if url:
        return await seed(url, credentials_from_environment(), on_progress)
    running = RunningStack(data)
    return await seed(_seed_url(running), (await ensure_admin(running)).credentials, on_progress)


async def seed_on_first_start(endpoints: StackEndpoints, *, with_catalog: bool = True) -> asyncio.Task[None] | None:
    """Ensures the administrator at every start, and loads the demo catalog once: products removed later stay removed.

    The products exist when this returns. Their images take longer: the returned task adds them.
    """
    admin = await ensure_admin(endpoints)
    if admin.is_password_new:
        password = admin.credentials.password.get_secret_value()
        typer.echo(f"The administrator of this shop is {admin.credentials.email}, password {password}")
    if not with_catalog or (endpoints.data_dir.path / SEEDED_MARKER).exists():
        return None
    await _try_to_seed(endpoints, admin.credentials, with_images=False)
    return asyncio.create_task(_try_to_seed(endpoints, admin.credentials, with_images=True))


async def _try_to_seed(stack: StackEndpoints, credentials: AdminCredentials, *, with_images: bool) -> None:
    """Loads the catalog. A failure is printed and retried at the next start: the shop works without a catalog."""
    try:
        await seed(_seed_url(stack), credentials, with_images=with_images)
    except StackError as error:
        typer.echo(f"The demo catalog is not complete. Complete it with `souk seed`. {error.message}")
    else:
        if with_images:
            create_private_file(stack.data_dir.path / SEEDED_MARKER)


def _seed_url(endpoints: StackEndpoints) -> str:
    """Returns the URL of an edge rather than of Nginx, whose rate limits would slow the load."""
    return next(iter(endpoints.edge_urls), endpoints.http_url)


async def seed(
    base_url: str,
    credentials: AdminCredentials,
    on_progress: SeedProgress = lambda *_: None,
    *,
    with_images: bool = True,
) -> SeedReport:
    """Creates what the shop lacks of the demo catalog."""
    catalog = tomllib.loads(CATALOG_FILE.read_text())
    async with log_in(base_url, credentials) as api:
        return await DemoCatalog(api, catalog, on_progress).load(with_images=with_images)


class DemoCatalog:
    """Loads the demo catalog into one shop."""

    def __init__(self, api: AdminApi, catalog: Mapping[str, Any], on_progress: SeedProgress) -> None:
        self.api = api
        self.categories: list[dict[str, str]] = catalog["categories"]
        self.products: list[dict[str, Any]] = catalog["products"]
        self.currency: str = catalog["currency"]
        self.on_progress = on_progress

    async def load(self, *, with_images: bool) -> SeedReport:
        """Creates the categories and products that are missing, and images for products without any."""
        known, made = await self._create_categories()
        found = await _run_limited(
            self.products,
            lambda product: self._create_product(product, known),
            PRODUCT_CONCURRENCY,
            self._progress_of("products"),
        )
        new = sum(is_new for _, is_new in found)
        bare = [product for product, _ in found if with_images and product is not None and not product["images"]]
        await _run_limited(bare, self._add_image, IMAGE_CONCURRENCY, self._progress_of("images"))
        return SeedReport(categories=made, products=new, images=len(bare), unchanged=len(found) - new)

    async def _create_categories(self) -> tuple[dict[str, str], int]:
        """Returns the ids of the categories by slug, and how many were created. Parents come before their children."""
        known = {category["slug"]: category["id"] for category in await self._list_categories()}
        missing = [category for category in self.categories if category["slug"] not in known]
        for category in missing:
            parent = known[category["parent"]] if "parent" in category else None
            body = {"slug": category["slug"], "name": category["name"], "parent_id": parent}
            known[category["slug"]] = (
                await self.api.post("/categories", body, idempotency_key=_idempotency_key(body))
            )["id"]
        return known, len(missing)

    async def _list_categories(self) -> list[dict[str, Any]]:
        found, after = [], ""
        while True:
            page = await self.api.get(f"/categories?limit=100{after}")
            found += page["items"]
            if not page["next"]:
                return found
            after = f"&after={page['next']}"

    async def _create_product(
        self, product: Mapping[str, Any], known: Mapping[str, str]
    ) -> tuple[dict[str, Any] | None, bool]:
        """Returns the product in the shop, and whether it was created. None if the product was taken off sale."""
        try:
            return await self.api.get(f"/products/{product['slug']}"), False
        except ApiError as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise
        body = product_body(product, known, self.currency)
        try:
            return await self.api.post("/products", body, idempotency_key=_idempotency_key(body)), True
        except ApiError as refusal:
            if refusal.code not in DUPLICATE_CODES:
                raise
            return None, False

    async def _add_image(self, product: Mapping[str, Any]) -> None:
        content = await asyncio.to_thread(draw_image, product["slug"], self._palette(product["category"]))

        def form() -> aiohttp.FormData:
            data = aiohttp.FormData()
            data.add_field("image", content, filename=f"{product['slug']}.jpg", content_type="image/jpeg")
            data.add_field("alt", f"A pattern for {product['name']}")
            return data

        key = f"picture-{hashlib.sha256(content).hexdigest()}-{product['id']}"
        await self.api.request("POST", f"/products/{product['id']}/images", form, idempotency_key=key)

    def _palette(self, slug: str) -> Palette:
        """Returns the palette of a category or of its closest ancestor that has one."""
        parents = {category["slug"]: category.get("parent", "") for category in self.categories}
        while slug not in PALETTES and parents.get(slug):
            slug = parents[slug]
        return PALETTES.get(slug, next(iter(PALETTES.values())))

    def _progress_of(self, what: str) -> Callable[[int, int], None]:
        return lambda done, of: self.on_progress(what, done, of)


def product_body(product: Mapping[str, Any], categories: Mapping[str, str], currency: str) -> dict[str, Any]:
    """Returns the body of `POST /products` for a product of the file."""
    body = {name: value for name, value in product.items() if name != "category"}
    body["category_id"] = categories[product["category"]]
    if "variants" in body:
        body["variants"] = [_with_prices(variant, currency) for variant in body["variants"]]
    return _with_prices(body, currency)


def _with_prices(item: Mapping[str, Any], currency: str) -> dict[str, Any]:
    prices = {
        name: {"amount": item[name], "currency": currency} for name in ("price", "compare_at_price") if name in item
    }
    return {**item, **prices}


def _idempotency_key(body: Mapping[str, Any]) -> str:
    """Derives the key from the body, so that a repeated request has no second effect."""
    return f"seed-{hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()}"


async def _run_limited(
    items: Collection[ItemT],
    action: Callable[[ItemT], Awaitable[DoneT]],
    limit: int,
    on_progress: Callable[[int, int], None],
) -> list[DoneT]:
    """Runs an action on each item, a few at a time. The first failure cancels the rest."""
    slots, done = asyncio.Semaphore(limit), 0

    async def one(item: ItemT) -> DoneT:
        nonlocal done
        async with slots:
            result = await action(item)
        done += 1
        on_progress(done, len(items))
        return result

    tasks = [asyncio.create_task(one(item)) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _progress_bars(progress: Progress) -> SeedProgress:
    bars: dict[str, TaskID] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in bars:
            bars[what] = progress.add_task(what, total=total)
        progress.update(bars[what], completed=done, total=total)

    return show
