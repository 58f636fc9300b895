"""What every handler and worker of the catalog works with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from contracts.catalog import ListProducts
from infra.foundation.background import PeriodicTask
from infra.foundation.batching import BatchLoader
from infra.foundation.ids import now
from infra.messaging.object_files import ObjectFiles
from infra.messaging.rpc_client import RpcClient
from infra.messaging.topology import IMAGES, UPLOADS
from infra.runtime.service import Resources
from services.catalog.domain.shopify.row_writer import ShopFacts
from services.catalog.settings import CatalogSettings
from services.catalog.store.database import CatalogDatabase
from services.catalog.store.product_documents import ProductDocument
from services.catalog.store.product_loaders import LoadedPage, ProductSources, load_pages, load_products
from services.catalog.store.search_loaders import load_large_searches, load_searches
from services.catalog.store.search_vocabulary import VocabularyCache
from services.catalog.store.suggestion_cache import SuggestionCache

PRODUCT_BATCH_SIZE, PAGE_BATCH_SIZE = 200, 10
"""Products and list pages that concurrent requests read in one go."""
LARGE_SEARCHES = 2
"""How many are counted at the same time, each in tens of milliseconds of a core."""
HOLD_INTERVAL_SECONDS = 1.0
WORKER_INTERVAL_SECONDS = 2.0
"""For what a process that ended, or one of an older release, has left."""
RATING_INTERVAL_SECONDS = 60.0
"""The ranker is woken when a review is published. This is for what a process that ended has left."""

PRICE_INTERVAL_SECONDS = 5.0
"""For prices that change by time. The mover is woken at those that it knows; this is for what other processes plan."""


@dataclass(frozen=True)
class CatalogDeps:
    """The catalog's database, the RPC client, its object buckets, its batch loaders and its background tasks."""

    db: CatalogDatabase
    rpc: RpcClient
    uploads: ObjectFiles
    images: ObjectFiles
    product_loader: BatchLoader[str, ProductDocument]
    page_loader: BatchLoader[ListProducts, LoadedPage]
    search_loader: BatchLoader[ListProducts, LoadedPage]
    large_search_loader: BatchLoader[ListProducts, LoadedPage]
    vocabulary: VocabularyCache
    suggestions: SuggestionCache
    settings: CatalogSettings
    hold_settler: PeriodicTask
    import_worker: PeriodicTask
    search_indexer: PeriodicTask
    rating_ranker: PeriodicTask
    price_mover: PeriodicTask

    @property
    def currency(self) -> str:
        """The currency that the shop sells in."""
        return self.settings.currency

    def shop_facts(self) -> ShopFacts:
        """What a product file needs to know about the shop."""
        return ShopFacts(self.currency, self.settings.shop_url, now())


Work = Callable[[CatalogDeps], Awaitable[bool]]
"""One round of a background task. Returns whether there may be more to do at once."""


def build_deps(
    resources: Resources[CatalogSettings, CatalogDatabase],
    *,
    settle_holds: Work,
    run_next_import: Work,
    index_search: Work,
    rank_products: Work,
    move_prices: Work,
) -> CatalogDeps:
    """Builds the dependencies. The background tasks get them too, and handlers wake the tasks through them."""
    vocabulary = VocabularyCache(resources.settings.languages)
    sources = ProductSources(resources.store, vocabulary=vocabulary)
    deps = CatalogDeps(
        db=resources.store,
        rpc=resources.rpc,
        uploads=ObjectFiles(resources.nats, UPLOADS),
        images=ObjectFiles(resources.nats, IMAGES),
        product_loader=BatchLoader(partial(load_products, sources), max_batch_size=PRODUCT_BATCH_SIZE),
        page_loader=BatchLoader(partial(load_pages, sources), max_batch_size=PAGE_BATCH_SIZE),
        search_loader=BatchLoader(partial(load_searches, sources), max_batch_size=PAGE_BATCH_SIZE),
        large_search_loader=BatchLoader(
            partial(load_large_searches, sources), max_batch_size=1, max_concurrent=LARGE_SEARCHES
        ),
        vocabulary=vocabulary,
        suggestions=SuggestionCache(),
        settings=resources.settings,
        hold_settler=PeriodicTask("hold settler", lambda: settle_holds(deps), interval_seconds=HOLD_INTERVAL_SECONDS),
        import_worker=PeriodicTask(
            "import worker", lambda: run_next_import(deps), interval_seconds=WORKER_INTERVAL_SECONDS
        ),
        search_indexer=PeriodicTask(
            "search indexer", lambda: index_search(deps), interval_seconds=WORKER_INTERVAL_SECONDS
        ),
        rating_ranker=PeriodicTask(
            "rating ranker", lambda: rank_products(deps), interval_seconds=RATING_INTERVAL_SECONDS
        ),
        price_mover=PeriodicTask("price mover", lambda: move_prices(deps), interval_seconds=PRICE_INTERVAL_SECONDS),
    )
    return deps
