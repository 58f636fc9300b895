"""Settings of the payment service."""

from pydantic import Field, SecretStr

from infra.foundation.settings import PostgresSettings


class PaymentSettings(PostgresSettings):
    """Environment variables `SOUK_*` of the payment service. All times are in seconds."""

    gateway_timeout: float = Field(2.0, gt=0, description="Seconds a gateway may take to answer one call.")
    gateway_concurrency: int = Field(200, gt=0, description="Concurrent gateway calls of one process.")
    gateway_failures: int = Field(10, gt=0, description="Failed calls in a row that open a gateway's circuit breaker.")
    gateway_pause: float = Field(5.0, gt=0, description="Seconds between trial calls while the breaker is open.")
    charge_deadline: float = Field(600.0, gt=0, description="Seconds a payment may be processing before it is voided.")
    payment_patience: float = Field(1.0, gt=0, description="Seconds a client waits at most for the outcome.")
    gift_card_secret: SecretStr = Field(
        min_length=16, description="Hashes the codes of gift cards; with a new one no code is found any more."
    )
    gift_card_guesses: int = Field(
        10, ge=0, description="Unknown gift card codes that one address may try in a minute; 0 does not limit them."
    )
    simulator_late: float = Field(3.0, ge=0, description="Seconds the simulator takes to charge `sim_timeout`.")
