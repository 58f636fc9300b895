"""What the handlers and workers of the order service work with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry, Counter

from contracts.order import Order
from infra.database.group_commit import ApplyGroup, GroupCommit
from infra.database.postgres import Database
from infra.messaging.object_files import ObjectFiles
from infra.messaging.rpc_client import Reply, RpcClient
from infra.messaging.topology import INVOICES
from infra.runtime.service import Resources
from services.order.domain.access import OrderTokens
from services.order.domain.coupon_guesses import CouponGuessLimit
from services.order.domain.event_stream_tickets import EventStreamTickets
from services.order.domain.guest_limits import GuestLimits
from services.order.domain.invoices import InvoiceParty, InvoiceTerms
from services.order.domain.order_lookup_limits import OrderLookupLimits
from services.order.domain.orders import Buyer, OrderDraft
from services.order.invoice_pdf.renderer import InvoiceRenderer
from services.order.settings import OrderSettings
from services.order.store.pricing_rules import PricingRulesCache

GUEST_ORDER_OUTCOMES = ("placed", "address_limit", "email_limit", "stock_limit")


def create_guest_order_counter(registry: CollectorRegistry | None) -> Counter:
    """Returns the counter of guests' orders, with every outcome at 0."""
    text = "Orders of guests that were placed, or refused by a limit."
    counter = Counter("souk_guest_orders", text, ("outcome",), registry=registry)
    for outcome in GUEST_ORDER_OUTCOMES:
        counter.labels(outcome)
    return counter


COUPON_GUESS_WINDOW_SECONDS = 3600.0
"""In which `coupon_guesses` refill."""
ORDER_LOOKUP_WINDOW_SECONDS = 3600.0
"""In which the limits of look-ups refill."""

OrderPlacement = GroupCommit[tuple[OrderDraft, float], Reply[Order]]
"""Takes an order and the seconds in which it has to be paid."""


@dataclass(frozen=True, slots=True)
class OrderDeps:
    """The database, the RPC client, and the times from the settings."""

    db: Database
    rpc: RpcClient
    pay_within_seconds: float
    """How long a customer may take to pay."""
    hold_margin_seconds: float
    """How much longer than that the stock stays held."""
    placement: OrderPlacement
    """Stores orders that arrive at the same moment in one transaction."""
    coupon_placement: OrderPlacement
    """Stores those with coupons: orders without one wait for no lock of a coupon."""
    order_tokens: OrderTokens
    event_stream_tickets: EventStreamTickets
    guest_limits: GuestLimits
    coupon_guesses: CouponGuessLimit
    order_lookup_limits: OrderLookupLimits
    invoice_terms: InvoiceTerms
    invoice_files: ObjectFiles
    release_after_seconds: float
    """After this time no process can still be working on a hold or its order."""
    invoice_renderer: InvoiceRenderer = field(default_factory=InvoiceRenderer)
    guest_orders: Counter = field(default_factory=partial(create_guest_order_counter, None))
    pricing_rules: PricingRulesCache = field(default_factory=PricingRulesCache)
    payment_attempts: int = 1
    """Failed payments after which a pending order is cancelled."""
    smtp_utf8: bool = False
    """Whether the mail server can mail names beyond ASCII."""
    wake_order_lookups: Callable[[], None] = lambda: None
    """Wakes the worker that looks for the orders of queued look-ups."""
    pending_releases: dict[UUID, float] = field(default_factory=dict)
    """Holds to release, by id, each with the event loop's time when its release is due."""

    def placement_of(self, draft: OrderDraft) -> OrderPlacement:
        """What stores this order."""
        return self.placement if draft.coupon is None else self.coupon_placement

    def pay_within_seconds_of(self, buyer: Buyer) -> float:
        """How long this buyer may take to pay: a guest less than a customer."""
        return self.guest_limits.pay_within_seconds if buyer.user_id is None else self.pay_within_seconds


def build_deps(
    resources: Resources[OrderSettings, Database],
    write_orders: ApplyGroup[tuple[OrderDraft, float], Reply[Order]],
    wake_order_lookups: Callable[[], None] = lambda: None,
) -> OrderDeps:
    """Builds the dependencies from the settings and the connections of the process."""
    settings = resources.settings
    secret = settings.access_secret.get_secret_value()
    return OrderDeps(
        db=resources.store,
        rpc=resources.rpc,
        pay_within_seconds=settings.unpaid_seconds,
        hold_margin_seconds=settings.hold_margin_seconds,
        placement=GroupCommit(resources.store, write_orders),
        coupon_placement=GroupCommit(resources.store, write_orders, max_concurrent=1),
        order_tokens=OrderTokens(secret),
        event_stream_tickets=EventStreamTickets(secret),
        guest_limits=_guest_limits(settings),
        coupon_guesses=CouponGuessLimit(settings.coupon_guesses, COUPON_GUESS_WINDOW_SECONDS, secret),
        order_lookup_limits=OrderLookupLimits(
            settings.order_lookups_per_address, settings.order_lookups_per_email, ORDER_LOOKUP_WINDOW_SECONDS, secret
        ),
        invoice_terms=_invoice_terms(settings),
        invoice_files=ObjectFiles(resources.nats, INVOICES),
        guest_orders=create_guest_order_counter(resources.metrics.registry),
        wake_order_lookups=wake_order_lookups,
        release_after_seconds=settings.left_hold_pause,
        payment_attempts=settings.payment_attempts,
        smtp_utf8=settings.smtp_utf8,
    )


def _invoice_terms(settings: OrderSettings) -> InvoiceTerms:
    lines = [line.strip() for line in settings.invoice_seller_address.split("|")]
    return InvoiceTerms(
        seller=InvoiceParty(
            name=settings.invoice_seller_name,
            lines=[line for line in lines if line],
            country=settings.invoice_seller_country or None,
            vat_id=settings.invoice_seller_vat_id or None,
        ),
        series=settings.invoice_series,
        credit_note_series=settings.credit_note_series,
        language=settings.invoice_language,
        time_zone=ZoneInfo(settings.time_zone),
    )


def _guest_limits(settings: OrderSettings) -> GuestLimits:
    return GuestLimits(
        orders_per_address=settings.guest_orders_per_address,
        orders_per_email=settings.guest_orders_per_email,
        window_seconds=settings.guest_orders_window,
        order_share=settings.guest_order_share,
        total_share=settings.guest_total_share,
        pay_within_seconds=min(settings.guest_unpaid_seconds, settings.unpaid_seconds),
        secret=settings.access_secret.get_secret_value(),
    )
