"""What every handler and worker of the catalog works with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from contracts.catalog import ListProducts
from infra.database.postgres import Database
from infra.foundation.background import PeriodicTask
from infra.foundation.batching import BatchLoader
from infra.runtime.service import Resources
from services.catalog.settings import CatalogSettings
from services.catalog.store.object_files import IMAGES, UPLOADS, ObjectFiles
from services.catalog.store.product_documents import ProductDocument, ProductDocumentCache
from services.catalog.store.product_loaders import load_pages, load_products

PRODUCT_BATCH_SIZE, PAGE_BATCH_SIZE = 200, 10
"""Products and list pages that concurrent requests read in one go."""
WORKER_INTERVAL_SECONDS = 1.0


@dataclass(frozen=True)
class CatalogDeps:
    """The catalog's database, its object buckets, its batch loaders and its background tasks."""

    db: Database
    uploads: ObjectFiles
    images: ObjectFiles
    product_loader: BatchLoader[str, ProductDocument]
    page_loader: BatchLoader[ListProducts, bytes]
    settings: CatalogSettings
    hold_settler: PeriodicTask
    import_worker: PeriodicTask
    search_indexer: PeriodicTask

    @property
    def currency(self) -> str:
        """The currency that the shop sells in."""
        return self.settings.currency


Work = Callable[[CatalogDeps], Awaitable[bool]]
"""One round of a background task. Returns whether there may be more to do at once."""


def build_deps(
    resources: Resources[CatalogSettings, Database], *, settle_holds: Work, run_next_import: Work, index_search: Work
) -> CatalogDeps:
    """Builds the dependencies. The background tasks get them too, and handlers wake the tasks through them."""
    documents = ProductDocumentCache()
    deps = CatalogDeps(
        db=resources.store,
        uploads=ObjectFiles(resources.nats, UPLOADS),
        images=ObjectFiles(resources.nats, IMAGES),
        product_loader=BatchLoader(
            partial(load_products, resources.store, documents), max_batch_size=PRODUCT_BATCH_SIZE
        ),
        page_loader=BatchLoader(partial(load_pages, resources.store, documents), max_batch_size=PAGE_BATCH_SIZE),
        settings=resources.settings,
        hold_settler=PeriodicTask("hold settler", lambda: settle_holds(deps), interval_seconds=WORKER_INTERVAL_SECONDS),
        import_worker=PeriodicTask(
            "import worker", lambda: run_next_import(deps), interval_seconds=WORKER_INTERVAL_SECONDS
        ),
        search_indexer=PeriodicTask(
            "search indexer", lambda: index_search(deps), interval_seconds=WORKER_INTERVAL_SECONDS
        ),
    )
    return deps
