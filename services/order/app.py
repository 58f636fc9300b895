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
from services.order.handlers import (
    commands,
    coupons,
    event_streams,
    events,
    fulfilments,
    grouped_orders,
    guest_order_access,
    guest_orders,
    invoices,
    order_exports,
    order_notes,
    place,
    privacy,
    queries,
    repair,
    shipping_zones,
    tax_rates,
)
from services.order.settings import OrderSettings
from services.order.workers import guest_limits, invoice_pdfs, order_lookup_mailer, orphaned_hold_release, unpaid_orders

HANDLERS: Mapping[AnyOperation, Handler] = {
    contract.PLACE: place.place,
    contract.LIST: queries.list_orders,
    contract.GET: queries.get,
    contract.CANCEL: commands.cancel,
    contract.PAY: commands.pay,
    contract.UPDATE: commands.update,
    contract.CREATE_FULFILMENT: fulfilments.create_fulfilment,
    contract.UPDATE_FULFILMENT: fulfilments.update_fulfilment,
    contract.GET_INVOICE: invoices.get_invoice,
    contract.GET_CREDIT_NOTE: invoices.get_credit_note,
    contract.PAYABLES: queries.payables,
    contract.GUEST: queries.guest,
    contract.LIST_TAX_RATES: tax_rates.list_tax_rates,
    contract.GET_TAX_RATE: tax_rates.get_tax_rate,
    contract.CREATE_TAX_RATE: tax_rates.create_tax_rate,
    contract.REPLACE_TAX_RATE: tax_rates.replace_tax_rate,
    contract.DELETE_TAX_RATE: tax_rates.delete_tax_rate,
    contract.GET_TAX_SETTINGS: tax_rates.get_tax_settings,
    contract.REPLACE_TAX_SETTINGS: tax_rates.replace_tax_settings,
    contract.LIST_SHIPPING_ZONES: shipping_zones.list_shipping_zones,
    contract.GET_SHIPPING_ZONE: shipping_zones.get_shipping_zone,
    contract.CREATE_SHIPPING_ZONE: shipping_zones.create_shipping_zone,
    contract.REPLACE_SHIPPING_ZONE: shipping_zones.replace_shipping_zone,
    contract.DELETE_SHIPPING_ZONE: shipping_zones.delete_shipping_zone,
    contract.LIST_COUPONS: coupons.list_coupons,
    contract.GET_COUPON: coupons.get_coupon,
    contract.CREATE_COUPON: coupons.create_coupon,
    contract.REPLACE_COUPON: coupons.replace_coupon,
    contract.DELETE_COUPON: coupons.delete_coupon,
    contract.CREATE_COUPON_CODES: coupons.create_coupon_codes,
    contract.CHECK_COUPON: coupons.check_coupon,
    contract.EXPORT_ORDERS: order_exports.export_orders,
    contract.ADD_NOTE: order_notes.add_note,
    contract.LOOK_UP: guest_orders.look_up,
    contract.CLAIM: guest_orders.claim,
    contract.FIND_PURCHASE: queries.find_purchase,
    privacy_contract.GUEST_ORDERS: privacy.guest_orders,
    contract.FOLLOW: event_streams.follow,
    contract.CREATE_EVENT_STREAM_TICKET: event_streams.create_ticket,
    contract.REDEEM_EVENT_STREAM_TICKET: event_streams.redeem_ticket,
    contract.REPAIR: repair.repair,
    privacy_contract.ERASE[contract.SERVICE]: privacy.erase,
    privacy_contract.EXPORT[contract.SERVICE]: privacy.export,
}
REPLY_COMPLETERS: Mapping[AnyOperation, ReplyCompleter] = {contract.PLACE: guest_order_access.add_access_token}
EVENT_HANDLERS: Mapping[type[Event], EventHandler] = {
    PaymentCaptured: events.payment_captured,
    PaymentFailed: events.payment_failed,
    PaymentRefunded: events.payment_refunded,
    HoldLost: events.hold_lost,
}


def build(resources: Resources[OrderSettings, Database]) -> ServiceParts:
    """Wires the handlers and workers of one process."""
    lookups = order_lookup_mailer.task(resources.store)
    deps = build_deps(resources, grouped_orders.write_orders, lookups.wake)
    return ServiceParts(
        deps,
        workers=[
            unpaid_orders.task(deps),
            orphaned_hold_release.task(deps),
            guest_limits.task(deps),
            lookups,
            invoice_pdfs.task(deps),
            deps.invoice_renderer,
        ],
    )


SERVICE = ServiceDefinition("order", OrderSettings, connect, build, HANDLERS, EVENT_HANDLERS, REPLY_COMPLETERS)
app = SERVICE.application()

if __name__ == "__main__":
    SERVICE.main()
