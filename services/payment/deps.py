"""What the handlers and workers of the payment service work with."""

from dataclasses import dataclass, field

from infra.database.postgres import Database
from infra.messaging.rpc_client import RpcClient
from infra.runtime.service import Resources
from services.payment.domain.gift_card_guesses import GiftCardGuessLimit
from services.payment.gateways import GatewayRegistry
from services.payment.gateways.simulator import Simulator
from services.payment.settings import PaymentSettings
from services.payment.signals import Completions, WorkSignal


@dataclass(frozen=True, slots=True)
class PaymentDeps:
    """The database, the RPC client, the gateways, the signals to the workers, and limits from the settings."""

    db: Database
    rpc: RpcClient
    gateways: GatewayRegistry
    gateway_timeout_seconds: float
    """How long a gateway may take to answer one call."""
    gateway_concurrency: int
    """Concurrent gateway calls, of charges and of refunds each."""
    charge_deadline_seconds: float
    """How long a payment may be processing before it is voided."""
    wait_seconds: float
    """How long a client waits at most for the outcome of a payment or refund."""
    gift_card_secret: str = field(repr=False)
    """Hashes the codes of gift cards."""
    gift_card_guesses: GiftCardGuessLimit
    completions: Completions = field(default_factory=Completions)
    charges_due: WorkSignal = field(default_factory=WorkSignal)
    refunds_due: WorkSignal = field(default_factory=WorkSignal)


def build_deps(resources: Resources[PaymentSettings, Database]) -> PaymentDeps:
    """Builds the dependencies from the settings and the connections of the process."""
    settings, db = resources.settings, resources.store
    secret = settings.gift_card_secret.get_secret_value()
    gateways = GatewayRegistry(
        [Simulator(db, late_seconds=settings.simulator_late)],
        failure_threshold=settings.gateway_failures,
        pause_seconds=settings.gateway_pause,
    )
    return PaymentDeps(
        db,
        resources.rpc,
        gateways,
        gateway_timeout_seconds=settings.gateway_timeout,
        gateway_concurrency=settings.gateway_concurrency,
        charge_deadline_seconds=settings.charge_deadline,
        wait_seconds=settings.payment_patience,
        gift_card_secret=secret,
        gift_card_guesses=GiftCardGuessLimit(settings.gift_card_guesses, secret),
    )
