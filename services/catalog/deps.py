"""What every handler of the catalog works with."""

from dataclasses import dataclass

from pydantic import Field

from contracts.catalog import ListProducts
from infra.database.postgres import Database
from infra.foundation.background import Worker
from infra.foundation.batching import Together
from infra.foundation.settings import PostgresSettings
from services.catalog.store.object_files import Objects
from services.catalog.store.product_documents import Document


class CatalogSettings(PostgresSettings):
    pace: float = Field(0.1, ge=0, le=5, description="Seconds between two rounds of events; held stock stays held.")
    import_patience: float = Field(
        10.0, gt=0, description="Seconds without a sign of life after which an import is dead."
    )


@dataclass(frozen=True)
class Shop:
    """The catalog's database, its buckets, and the work it does by itself."""

    db: Database
    uploads: Objects
    images: Objects
    found: Together[str, Document]
    pages: Together[ListProducts, bytes]
    settings: CatalogSettings
    stock_keeper: Worker
    importer: Worker

    @property
    def currency(self) -> str:
        return self.settings.currency
