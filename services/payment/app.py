"""The composition root of the payment service: `python -m services.payment.app`."""

from functools import partial

from prometheus_client import Gauge

from contracts import order, privacy
from contracts import payment as contract
from contracts.event import Event
from contracts.operation import AnyOperation
from infra.database.postgres import Database, connect
from infra.foundation.background import Background, Worker
from infra.messaging.consumer import Reaction
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Kit, Room, Service
from services.payment.deps import PaymentSettings, Shop
from services.payment.gateways import Gateways
from services.payment.gateways.circuit_breaker import Breaker
from services.payment.gateways.simulator import Simulator
from services.payment.handlers import charges as paying
from services.payment.handlers import events as hearing
from services.payment.handlers import idempotent_payment as asking
from services.payment.handlers import privacy as erasing
from services.payment.handlers import queries as reading
from services.payment.handlers import refunds as returning
from services.payment.handlers import repair as repairing
from services.payment.workers.charge import Charger
from services.payment.workers.completion import Outcomes
from services.payment.workers.refund import Refunder

ASKS: dict[AnyOperation, Handler] = {
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
REACTIONS: dict[type[Event], Reaction] = {
    order.OrderPlaced: hearing.order_placed,
    order.OrderCancelled: hearing.order_cancelled,
}
HOUR = 3600.0


def build(kit: Kit[PaymentSettings, Database]) -> Room:
    settings, db = kit.settings, kit.store
    gateways = Gateways(
        [Simulator(db, late=settings.simulator_late)], failures=settings.gateway_failures, pause=settings.gateway_pause
    )
    gauge = Gauge("souk_gateway_open", "1 while a gateway is left alone.", ("gateway",), registry=kit.metrics.registry)
    for name, breaker in gateways.breakers.items():
        gauge.labels(name).set_function(partial(_is_open, breaker))
    outcomes = Outcomes()
    refunder = Refunder(db, gateways, outcomes, patience=settings.gateway_timeout, limit=settings.gateway_concurrency)
    charger = Charger(
        db,
        kit.asker,
        gateways,
        refunder,
        outcomes,
        patience=settings.gateway_timeout,
        deadline=settings.charge_deadline,
        limit=settings.gateway_concurrency,
    )
    shop = Shop(db, kit.asker, gateways, outcomes, charger, refunder, settings.payment_patience)

    async def forget_reservations() -> bool:
        return await asking.prune(shop)

    workers: list[Background] = [
        charger.pipeline,
        refunder.pipeline,
        Worker("prune reservations", forget_reservations, every=HOUR),
    ]
    return Room(shop, ASKS, REACTIONS, workers)


def _is_open(breaker: Breaker) -> float:
    return float(breaker.open)


SERVICE = Service("payment", PaymentSettings, connect, build)

if __name__ == "__main__":
    SERVICE.main()
