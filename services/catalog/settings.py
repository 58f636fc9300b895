"""Settings of the catalog service, read from `SOUK_*` variables."""

from pydantic import Field

from infra.foundation.settings import PostgresSettings

LANGUAGES = (
    *("arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french", "german", "greek"),
    *("hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian", "portuguese"),
    *("romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish"),
)
"""Languages whose word forms PostgreSQL knows. Each has a text search configuration with `shop_` before its name."""


class CatalogSettings(PostgresSettings):
    """How often events are applied, how products are searched, and when an import counts as abandoned."""

    pace: float = Field(
        0.1, ge=0, le=5, description="Longest pause between two batches of events; held stock stays held meanwhile."
    )
    shop_url: str = Field(
        "",
        pattern="^(https?://.*)?$",
        description="Address of the shop for its images in exported product files; empty leaves them out.",
    )
    low_stock_threshold: int = Field(
        5, ge=0, description="An event says so when no more units of a SKU than these are left."
    )
    search_languages: str = Field(
        "english",
        pattern=f"^({'|'.join(LANGUAGES)})(,({'|'.join(LANGUAGES)}))*$",
        description="Languages of products, with commas between them: search knows their word forms. A change counts "
        "for products that are written after it.",
    )
    import_patience: float = Field(
        10.0, gt=0, description="Seconds without progress after which another process continues an import."
    )

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of search, each once."""
        return tuple(dict.fromkeys(self.search_languages.split(",")))
