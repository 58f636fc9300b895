"""Settings of the catalog service, read from `SOUK_*` variables."""

from pydantic import Field

from infra.foundation.settings import PostgresSettings


class CatalogSettings(PostgresSettings):
    """How often events are applied, and when an import counts as abandoned."""

    pace: float = Field(
        0.1, ge=0, le=5, description="Longest pause between two batches of events; held stock stays held meanwhile."
    )
    shop_url: str = Field(
        "",
        pattern="^(https?://.*)?$",
        description="Address of the shop for its images in exported product files; empty leaves them out.",
    )
    import_patience: float = Field(
        10.0, gt=0, description="Seconds without progress after which another process continues an import."
    )
