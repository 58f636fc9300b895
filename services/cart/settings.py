"""Settings of the cart service, read from `SOUK_*` variables."""

from infra.foundation.settings import MongoSettings


class CartSettings(MongoSettings):
    """How long a cart is kept after its last change."""

    guest_cart_days: int = 30
    customer_cart_days: int = 90
