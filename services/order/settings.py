"""Settings of the order service."""

from pydantic import Field

from infra.foundation.settings import PostgresSettings


class OrderSettings(PostgresSettings):
    """Environment variables `SOUK_*` of the order service. All times are in seconds."""

    unpaid_seconds: float = Field(1800, gt=0, description="Seconds a pending order waits to be paid.")
    hold_margin_seconds: float = Field(600, gt=0, description="Seconds its stock stays held beyond that deadline.")
    left_hold_pause: float = Field(10.0, gt=0, description="Seconds until the release of a stock hold is tried again.")
