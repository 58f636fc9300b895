"""The order service, composed: `python -m services.order.app`."""

from collections.abc import Mapping
from functools import partial

from pydantic import Field

from contracts import order as contract
from contracts import privacy
from contracts.catalog import HoldLost
from contracts.event import Event
from contracts.operation import AnyOperation
from contracts.payment import PaymentCaptured, PaymentFailed, PaymentRefunded
from infra.database.postgres import Database, connect
from infra.foundation.background import PeriodicTask
from infra.foundation.settings import PostgresSettings
from infra.messaging.consumer import EventHandler
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from services.order.deps import OrderDeps
from services.order.handlers import commands as changing
from services.order.handlers import events as settling
from services.order.handlers import place as placing
from services.order.handlers import privacy as erasing
from services.order.handlers import queries as reading
from services.order.handlers import repair as repairing
from services.order.workers.hold_release import HoldReleaser

HANDLERS: Mapping[AnyOperation, Handler] = {
    contract.PLACE: placing.place,
    contract.LIST: reading.list_orders,
    contract.GET: reading.get,
    contract.CANCEL: changing.cancel,
    contract.PAY: changing.pay,
    contract.UPDATE: changing.update,
    contract.PAYABLES: reading.payables,
    contract.GUEST: reading.guest,
    privacy.GUEST_ORDERS: erasing.guest_orders,
    contract.REPAIR: repairing.repair,
    privacy.ERASE[contract.SERVICE]: erasing.erase,
    privacy.EXPORT[contract.SERVICE]: erasing.export,
}
EVENT_HANDLERS: Mapping[type[Event], EventHandler] = {
    PaymentCaptured: settling.payment_captured,
    PaymentFailed: settling.payment_failed,
    PaymentRefunded: settling.payment_refunded,
    HoldLost: settling.hold_lost,
}


class OrderSettings(PostgresSettings):
    unpaid_seconds: float = Field(1800, gt=0, description="How long a pending order waits to be paid.")
    hold_margin_seconds: float = Field(600, gt=0, description="How much longer than that its stock is held.")
    left_hold_pause: float = Field(
        10.0, gt=0, description="Seconds until a hold is given back that may have been made, or not."
    )


def build(resources: Resources[OrderSettings, Database]) -> ServiceParts:
    leftovers = HoldReleaser(resources.store, resources.rpc, retry_seconds=resources.settings.left_hold_pause)
    shop = OrderDeps(
        db=resources.store,
        rpc=resources.rpc,
        hold_releaser=leftovers,
        pay_within_seconds=resources.settings.unpaid_seconds,
        hold_margin_seconds=resources.settings.hold_margin_seconds,
    )
    unpaid = PeriodicTask("unpaid orders", partial(settling.expire_unpaid, shop), interval_seconds=1.0)
    return ServiceParts(shop, HANDLERS, EVENT_HANDLERS, workers=[unpaid, leftovers.worker])


SERVICE = ServiceDefinition("order", OrderSettings, connect, build)

if __name__ == "__main__":
    SERVICE.main()
