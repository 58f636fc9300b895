"""The composition root of the order service: `python -m services.order.app`."""

from collections.abc import Mapping

from contracts import order as contract
from contracts import privacy as privacy_contract
from contracts.catalog import HoldLost
from contracts.event import Event
from contracts.operation import AnyOperation
from contracts.payment import PaymentCaptured, PaymentFailed, PaymentRefunded
from infra.database.postgres import Database, connect
from infra.messaging.consumer import EventHandler
from infra.messaging.rpc_server import Handler, ReplyCompleter
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from services.order.deps import build_deps
from services.order.handlers import commands, events, order_access, place, privacy, queries, repair
from services.order.settings import OrderSettings
from services.order.workers import guest_limits, hold_release, unpaid_orders

HANDLERS: Mapping[AnyOperation, Handler] = {
    contract.PLACE: place.place,
    contract.LIST: queries.list_orders,
    contract.GET: queries.get,
    contract.CANCEL: commands.cancel,
    contract.PAY: commands.pay,
    contract.UPDATE: commands.update,
    contract.PAYABLES: queries.payables,
    contract.GUEST: queries.guest,
    privacy_contract.GUEST_ORDERS: privacy.guest_orders,
    contract.REPAIR: repair.repair,
    privacy_contract.ERASE[contract.SERVICE]: privacy.erase,
    privacy_contract.EXPORT[contract.SERVICE]: privacy.export,
}
REPLY_COMPLETERS: Mapping[AnyOperation, ReplyCompleter] = {contract.PLACE: order_access.add_access_token}
EVENT_HANDLERS: Mapping[type[Event], EventHandler] = {
    PaymentCaptured: events.payment_captured,
    PaymentFailed: events.payment_failed,
    PaymentRefunded: events.payment_refunded,
    HoldLost: events.hold_lost,
}


def build(resources: Resources[OrderSettings, Database]) -> ServiceParts:
    """Wires the handlers and workers of one process."""
    deps = build_deps(resources, place.write_orders)
    return ServiceParts(deps, workers=[unpaid_orders.task(deps), hold_release.task(deps), guest_limits.task(deps)])


SERVICE = ServiceDefinition("order", OrderSettings, connect, build, HANDLERS, EVENT_HANDLERS, REPLY_COMPLETERS)
app = SERVICE.application()

if __name__ == "__main__":
    SERVICE.main()
