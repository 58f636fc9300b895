"""Settings of the order service."""

from pydantic import Field, SecretStr

from infra.foundation.settings import PostgresSettings


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
    coupon_guesses: int = Field(
        20, ge=0, description="Unknown coupon codes that one address or cart may try in an hour; 0 does not limit them."
    )
    payment_attempts: int = Field(1, ge=1, description="Failed payments after which a pending order is cancelled.")
    access_secret: SecretStr = Field(
        min_length=16, description="Derives the tokens by which guests reach their orders; a new one ends all of them."
    )
    left_hold_pause: float = Field(10.0, gt=0, description="Seconds until the release of a stock hold is tried again.")
