"""The composition root of the payment service: `python -m services.payment.app`."""

from functools import partial

from prometheus_client import Gauge

from contracts import order, privacy
from contracts import payment as contract
from contracts.event import Event
from contracts.operation import AnyOperation
from infra.database.postgres import Database, connect
from infra.foundation.background import BackgroundTask, PeriodicTask
from infra.messaging.consumer import EventHandler
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from services.payment.deps import PaymentDeps, PaymentSettings
from services.payment.gateways import GatewayRegistry
from services.payment.gateways.circuit_breaker import GatewayBreaker
from services.payment.gateways.simulator import Simulator
from services.payment.handlers import charges as paying
from services.payment.handlers import events as hearing
from services.payment.handlers import idempotent_payment as asking
from services.payment.handlers import privacy as erasing
from services.payment.handlers import queries as reading
from services.payment.handlers import refunds as returning
from services.payment.handlers import repair as repairing
from services.payment.workers.charge import ChargeWorker
from services.payment.workers.completion import Completions
from services.payment.workers.refund import RefundWorker

HANDLERS: dict[AnyOperation, Handler] = {
    contract.CREATE: paying.create,
    contract.CHARGE: paying.charge,
    contract.CHARGED: paying.charged,
    contract.PAID: reading.paid,
    contract.REPAIR: repairing.repair,
    contract.CONFIRM: paying.confirm,
    contract.REFUND: returning.refund,
    contract.GET: reading.get,
    contract.LIST: reading.list_payments,
    privacy.ERASE[contract.SERVICE]: erasing.erase,
    privacy.EXPORT[contract.SERVICE]: erasing.export,
}
EVENT_HANDLERS: dict[type[Event], EventHandler] = {
    order.OrderPlaced: hearing.order_placed,
    order.OrderCancelled: hearing.order_cancelled,
}
HOUR_SECONDS = 3600.0


def build(resources: Resources[PaymentSettings, Database]) -> ServiceParts:
    settings, db = resources.settings, resources.store
    gateways = GatewayRegistry(
        [Simulator(db, late_seconds=settings.simulator_late)],
        failure_threshold=settings.gateway_failures,
        pause_seconds=settings.gateway_pause,
    )
    gauge = Gauge(
        "souk_gateway_open", "1 while a gateway is left alone.", ("gateway",), registry=resources.metrics.registry
    )
    for name, breaker in gateways.breakers.items():
        gauge.labels(name).set_function(partial(_is_open, breaker))
    outcomes = Completions()
    refunder = RefundWorker(
        db, gateways, outcomes, timeout_seconds=settings.gateway_timeout, concurrency=settings.gateway_concurrency
    )
    charger = ChargeWorker(
        db,
        resources.rpc,
        gateways,
        refunder,
        outcomes,
        timeout_seconds=settings.gateway_timeout,
        deadline_seconds=settings.charge_deadline,
        concurrency=settings.gateway_concurrency,
    )
    shop = PaymentDeps(db, resources.rpc, gateways, outcomes, charger, refunder, settings.payment_patience)

    async def forget_reservations() -> bool:
        return await asking.prune_idempotency_keys(shop)

    workers: list[BackgroundTask] = [
        charger.worker,
        refunder.worker,
        PeriodicTask("prune reservations", forget_reservations, interval_seconds=HOUR_SECONDS),
    ]
    return ServiceParts(shop, HANDLERS, EVENT_HANDLERS, workers)


def _is_open(breaker: GatewayBreaker) -> float:
    return float(breaker.is_open)


SERVICE = ServiceDefinition("payment", PaymentSettings, connect, build)

if __name__ == "__main__":
    SERVICE.main()
