"""The notification service: which handler serves each operation and event, and the worker that sends mails."""

import hashlib
import time
from email.headerregistry import Address

import aiosmtplib
from prometheus_client import Counter

from contracts import notification as contract
from contracts import privacy as privacy_contract
from contracts.email_addresses import to_ascii_domain_email
from contracts.event import Event
from contracts.event_feed import LIST_EVENTS
from contracts.operation import AnyOperation
from contracts.order import OrderClaimed, OrderLookupRequested
from contracts.user import ResetRequested, VerificationRequested
from infra.database.postgres import Database, connect
from infra.foundation.background import PeriodicTask
from infra.messaging.consumer import EventHandler
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from services.notification.deps import NotificationDeps
from services.notification.domain.mails import MAIL_KINDS
from services.notification.domain.mails_to_unconfirmed_addresses import UnconfirmedMailLimits
from services.notification.domain.names import to_name_line
from services.notification.handlers import event_feed, events, privacy, queries
from services.notification.mail.recipient_throttle import RecipientThrottle
from services.notification.mail.recipients import RecipientLookup
from services.notification.mail.smtp import SmtpConnection
from services.notification.mail.templates import MailTemplates
from services.notification.mail.token_bucket import TokenBucket
from services.notification.settings import NotificationSettings
from services.notification.workers.mail_sender import MailSender

CLEANUP_SECONDS = 600.0

HANDLERS: dict[AnyOperation, Handler] = {
    contract.LIST: queries.list_notifications,
    LIST_EVENTS: event_feed.list_events,
    privacy_contract.ERASE[contract.SERVICE]: privacy.erase,
    privacy_contract.EXPORT[contract.SERVICE]: privacy.export,
}
EVENT_HANDLERS: dict[type[Event], EventHandler] = {
    **dict.fromkeys(MAIL_KINDS, events.queue_order_mail),
    OrderLookupRequested: events.queue_lookup_mail,
    OrderClaimed: events.order_claimed,
    VerificationRequested: events.queue_token_mail,
    ResetRequested: events.queue_token_mail,
}


def build(resources: Resources[NotificationSettings, Database]) -> ServiceParts:
    """Composes the service: its dependencies and the mail sender."""
    settings = resources.settings
    throttle = RecipientThrottle(resources.store, build_mail_limits(settings))
    sender = MailSender(
        resources.store,
        RecipientLookup(resources.rpc),
        MailTemplates(settings.shop_name, settings.shop_url),
        [SmtpConnection(build_smtp_client(settings)) for _ in range(settings.smtp_connections)],
        from_address=Address(
            display_name=to_name_line(settings.shop_name), addr_spec=to_ascii_domain_email(settings.mail_from)
        ),
        rate_limit=TokenBucket(settings.mail_rate, time.monotonic),
        mail_counter=Counter(
            "souk_mails_total",
            "Mails by kind and delivery status after an attempt.",
            ("kind", "status"),
            registry=resources.metrics.registry,
        ),
        throttle=throttle,
        abuse_counter=Counter(
            "souk_mail_abuse_total",
            "Mails that were throttled, because the address was never confirmed, or greeted without a name that looks "
            "like a link.",
            ("kind", "measure"),
            registry=resources.metrics.registry,
        ),
    )
    cleanup = PeriodicTask("cleanup", throttle.delete_expired, interval_seconds=CLEANUP_SECONDS)
    return ServiceParts(NotificationDeps(resources.store, sender.wake, resources.nats), workers=[sender, cleanup])


def build_mail_limits(settings: NotificationSettings) -> UnconfirmedMailLimits:
    """Builds the limits of mails to unconfirmed addresses, with a key that the database does not hold."""
    key = hashlib.sha256(b"unconfirmed mail\0" + settings.database_password.get_secret_value().encode()).digest()
    return UnconfirmedMailLimits(settings.unconfirmed_mails_per_hour, settings.unconfirmed_mails_per_day, key)


def build_smtp_client(settings: NotificationSettings) -> aiosmtplib.SMTP:
    """Builds a client of the mail server.

    It introduces itself with the domain of the sender address: looking up the host's own name could block.
    """
    return aiosmtplib.SMTP(
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        username=settings.smtp_user or None,
        password=settings.smtp_password.get_secret_value() or None,
        use_tls=settings.smtp_tls == "tls",
        start_tls={"auto": None, "starttls": True}.get(settings.smtp_tls, False),
        timeout=settings.smtp_timeout,
        local_hostname=to_ascii_domain_email(settings.mail_from).rpartition("@")[2],
    )


SERVICE = ServiceDefinition("notification", NotificationSettings, connect, build, HANDLERS, EVENT_HANDLERS)
app = SERVICE.application()

if __name__ == "__main__":
    SERVICE.main()
