"""The composition root of the payment service: `python -m services.payment.app`."""

from collections.abc import Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from contracts import gift_cards as gift_card_contract
from contracts import order
from contracts import payment as contract
from contracts import privacy as privacy_contract
from contracts.event import Event
from contracts.operation import AnyOperation
from infra.database.postgres import Database, connect
from infra.foundation.background import BackgroundTask
from infra.messaging.consumer import EventHandler
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from services.payment.deps import build_deps
from services.payment.gateways import GatewayRegistry
from services.payment.gateways.circuit_breaker import GatewayBreaker
from services.payment.handlers import charges, events, gift_cards, privacy, queries, refunds, repair
from services.payment.settings import PaymentSettings
from services.payment.workers import expired_gift_card_holds, idempotency_key_cleanup
from services.payment.workers.charge import ChargeWorker
from services.payment.workers.refund import RefundWorker

HANDLERS: Mapping[AnyOperation, Handler] = {
    contract.CREATE: charges.create,
    contract.CHARGE: charges.charge,
    contract.CHARGED: charges.charged,
    contract.PAID: queries.paid,
    contract.REPAIR: repair.repair,
    contract.CONFIRM: charges.confirm,
    contract.REFUND: refunds.refund,
    contract.GET: queries.get,
    contract.LIST: queries.list_payments,
    gift_card_contract.LIST_GIFT_CARDS: gift_cards.list_gift_cards,
    gift_card_contract.GET_GIFT_CARD: gift_cards.get_gift_card,
    gift_card_contract.ISSUE_GIFT_CARD: gift_cards.issue_gift_card,
    gift_card_contract.DISABLE_GIFT_CARD: gift_cards.disable_gift_card,
    gift_card_contract.FIND_GIFT_CARD: gift_cards.find_gift_card,
    gift_card_contract.HOLD_GIFT_CARDS: gift_cards.hold_gift_cards,
    gift_card_contract.RELEASE_GIFT_CARDS: gift_cards.release_gift_cards,
    privacy_contract.ERASE[contract.SERVICE]: privacy.erase,
    privacy_contract.EXPORT[contract.SERVICE]: privacy.export,
}
EVENT_HANDLERS: Mapping[type[Event], EventHandler] = {
    order.OrderPlaced: events.order_placed,
    order.OrderCancelled: events.order_cancelled,
    order.OrderUnitsCancelled: events.order_units_cancelled,
    order.OrderClaimed: events.order_claimed,
}


def build(resources: Resources[PaymentSettings, Database]) -> ServiceParts:
    """Wires the handlers and workers of one process."""
    deps = build_deps(resources)
    _export_breakers(deps.gateways, resources.metrics.registry)
    workers: list[BackgroundTask] = [
        ChargeWorker(deps).batch_worker,
        RefundWorker(deps).batch_worker,
        expired_gift_card_holds.task(deps),
        idempotency_key_cleanup.task(deps),
    ]
    return ServiceParts(deps, workers)


def _export_breakers(gateways: GatewayRegistry, registry: CollectorRegistry) -> None:
    help_text = "1 while the circuit breaker of a gateway is open."
    gauge = Gauge("souk_gateway_open", help_text, ("gateway",), registry=registry)
    for name, breaker in gateways.breakers.items():
        gauge.labels(name).set_function(partial(_is_open, breaker))


def _is_open(breaker: GatewayBreaker) -> float:
    return float(breaker.is_open)


SERVICE = ServiceDefinition("payment", PaymentSettings, connect, build, HANDLERS, EVENT_HANDLERS)
app = SERVICE.application()

if __name__ == "__main__":
    SERVICE.main()
