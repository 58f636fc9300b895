"""Settings of the order service."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr

from infra.foundation.settings import PostgresSettings

SERIES_PATTERN = "^[A-Z0-9]([A-Z0-9-]{0,10}[A-Z0-9])?$"


def _require_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = "not a time zone of the IANA database, such as Europe/Berlin"
        raise ValueError(message) from None
    return name


class OrderSettings(PostgresSettings):
    """Environment variables `SOUK_*` of the order service. All times are in seconds."""

    unpaid_seconds: float = Field(1800, gt=0, description="Seconds a pending order waits to be paid.")
    hold_margin_seconds: float = Field(600, gt=0, description="Seconds its stock stays held beyond that deadline.")
    guest_unpaid_seconds: float = Field(
        600, gt=0, description="Seconds a guest's order waits to be paid, if that is less than `unpaid_seconds`."
    )
    guest_orders_per_address: int = Field(
        60, ge=0, description="Orders of guests from one address in a window; 0 does not limit them."
    )
    guest_orders_per_email: int = Field(
        5, ge=0, description="Orders of guests with one e-mail in a window; 0 does not limit them."
    )
    guest_orders_window: float = Field(3600, gt=0, le=7 * 86_400, description="Seconds in which these limits refill.")
    guest_order_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of a SKU's units on hand that one unpaid order of a guest may hold; five in any case.",
    )
    guest_total_share: float = Field(
        0.8, gt=0, le=1, description="Share of a SKU's units on hand that all unpaid orders of guests may hold."
    )
    order_lookups_per_address: int = Field(
        30, ge=0, description="Look-ups of guests' orders from one address in an hour; 0 does not limit them."
    )
    order_lookups_per_email: int = Field(
        5, ge=0, description="Links to orders that are mailed to one e-mail in an hour; 0 does not limit them."
    )
    coupon_guesses: int = Field(
        20, ge=0, description="Unknown coupon codes that one address or cart may try in an hour; 0 does not limit them."
    )
    payment_attempts: int = Field(1, ge=1, description="Failed payments after which a pending order is cancelled.")
    invoice_seller_name: str = Field("Souk", min_length=1, description="Seller's name on invoices.")
    invoice_seller_address: str = Field(
        "", description="Seller's address on invoices, without the country; `|` begins a new line."
    )
    invoice_seller_country: str = Field(
        "", pattern="^([A-Z]{2})?$", description="Seller's country on invoices (ISO 3166)."
    )
    invoice_seller_vat_id: str = Field("", description="Seller's VAT id on invoices.")
    invoice_series: str = Field(
        "INV", pattern=SERIES_PATTERN, description="What the numbers of invoices begin with; each year counts from 1."
    )
    credit_note_series: str = Field(
        "CN", pattern=SERIES_PATTERN, description="What the numbers of credit notes begin with."
    )
    invoice_language: Literal["en", "de", "fr", "es"] = Field("en", description="Language of invoices: en, de, fr, es.")
    time_zone: Annotated[str, AfterValidator(_require_time_zone)] = Field(
        "UTC", description="Time zone of the shop, in which the dates and years of invoices are."
    )
    access_secret: SecretStr = Field(
        min_length=16, description="Derives the tokens by which guests reach their orders; a new one ends all of them."
    )
    left_hold_pause: float = Field(10.0, gt=0, description="Seconds until the release of a stock hold is tried again.")
