"""What every handler of the payment service works with."""

from dataclasses import dataclass

from pydantic import Field

from infra.database.postgres import Database
from infra.foundation.settings import PostgresSettings
from infra.messaging.rpc import RpcClient
from services.payment.gateways import GatewayRegistry
from services.payment.workers.charge import ChargeWorker
from services.payment.workers.completion import Completions
from services.payment.workers.refund import RefundWorker


class PaymentSettings(PostgresSettings):
    gateway_timeout: float = Field(2.0, gt=0, description="Seconds a gateway may take to answer one call.")
    gateway_concurrency: int = Field(200, gt=0, description="Calls at the gateways at once, of one process.")
    gateway_failures: int = Field(10, gt=0, description="Calls that fail in a row until a gateway is left alone.")
    gateway_pause: float = Field(5.0, gt=0, description="Seconds between two tries of a gateway that is left alone.")
    charge_deadline: float = Field(600.0, gt=0, description="Seconds a payment may be under way before it is voided.")
    payment_patience: float = Field(1.0, gt=0, description="Seconds a client waits for an outcome at the most.")
    simulator_late: float = Field(3.0, ge=0, description="Seconds the simulator takes over `sim_timeout`.")


@dataclass(frozen=True)
class PaymentDeps:
    db: Database
    rpc: RpcClient
    gateways: GatewayRegistry
    completions: Completions
    charge_worker: ChargeWorker
    refund_worker: RefundWorker
    wait_seconds: float
