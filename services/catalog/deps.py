"""What every handler of the catalog works with."""

from dataclasses import dataclass

from pydantic import Field

from contracts.catalog import ListProducts
from infra.database.postgres import Database
from infra.foundation.background import PeriodicTask
from infra.foundation.batching import BatchLoader
from infra.foundation.settings import PostgresSettings
from services.catalog.store.object_files import ObjectBucket
from services.catalog.store.product_documents import ProductDocument


class CatalogSettings(PostgresSettings):
    pace: float = Field(0.1, ge=0, le=5, description="Seconds between two rounds of events; held stock stays held.")
    import_patience: float = Field(
        10.0, gt=0, description="Seconds without a sign of life after which an import is dead."
    )


@dataclass(frozen=True)
class CatalogDeps:
    """The catalog's database, its buckets, and the work it does by itself."""

    db: Database
    uploads: ObjectBucket
    images: ObjectBucket
    product_loader: BatchLoader[str, ProductDocument]
    page_loader: BatchLoader[ListProducts, bytes]
    settings: CatalogSettings
    hold_settler: PeriodicTask
    import_worker: PeriodicTask

    @property
    def currency(self) -> str:
        return self.settings.currency
