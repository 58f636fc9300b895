"""notification as a process: what it reads, keeps, hears and does."""

import time
from email.headerregistry import Address
from typing import Literal

import aiosmtplib
from prometheus_client import Counter
from pydantic import Field, SecretStr

from contracts import notification as contract
from contracts import privacy
from contracts.event import Event
from contracts.model import Email
from contracts.operation import AnyOperation
from contracts.user import ResetRequested, VerificationRequested
from infra.database.postgres import Database, connect
from infra.foundation.settings import PostgresSettings
from infra.messaging.consumer import EventHandler
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from services.notification.domain.deliveries import MAIL_KINDS
from services.notification.handlers import events as handlers
from services.notification.handlers import privacy as erasing
from services.notification.handlers.events import NotificationDeps
from services.notification.mail.contacts import RecipientLookup
from services.notification.mail.smtp import SmtpConnection
from services.notification.mail.templates import MailTemplates
from services.notification.mail.token_bucket import TokenBucket
from services.notification.workers.mail_sender import MailSender

HANDLERS: dict[AnyOperation, Handler] = {
    contract.LIST: handlers.list_notifications,
    privacy.ERASE[contract.SERVICE]: erasing.erase,
    privacy.EXPORT[contract.SERVICE]: erasing.export,
}
EVENT_HANDLERS: dict[type[Event], EventHandler] = {
    **dict.fromkeys(MAIL_KINDS, handlers.queue_order_mail),
    VerificationRequested: handlers.queue_token_mail,
    ResetRequested: handlers.queue_token_mail,
}


class NotificationSettings(PostgresSettings):
    pace: float = Field(0.5, ge=0, le=5, description="Seconds between two rounds of events.")
    niceness: int = Field(10, ge=0, le=19, description="A mail may wait for a checkout.")
    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(10025, ge=0, le=65535)
    smtp_tls: Literal["auto", "off", "starttls", "tls"] = Field("auto", description="auto: STARTTLS where offered.")
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_timeout: float = Field(10.0, gt=0, description="Seconds the mail server has for each answer.")
    smtp_connections: int = Field(1, ge=1, le=32, description="Mails on their way at once, of one process.")
    mail_from: Email = "orders@souk.example"
    mail_rate: float = Field(20.0, gt=0, description="Mails a second of one process, at the most.")
    shop_name: str = "Souk"
    shop_url: str = Field("", pattern="^(https?://.*)?$", description="Where links in mails lead; empty is no links.")


def build(resources: Resources[NotificationSettings, Database]) -> ServiceParts:
    settings = resources.settings
    sender = MailSender(
        resources.store,
        RecipientLookup(resources.rpc),
        MailTemplates(settings.shop_name, settings.shop_url),
        [SmtpConnection(build_smtp_client(settings)) for _ in range(settings.smtp_connections)],
        from_address=Address(display_name=settings.shop_name, addr_spec=settings.mail_from),
        rate_limit=TokenBucket(settings.mail_rate, time.monotonic),
        mail_counter=Counter(
            "souk_mails_total",
            "Mails, by what became of them.",
            ("kind", "status"),
            registry=resources.metrics.registry,
        ),
    )
    return ServiceParts(NotificationDeps(resources.store, sender.wake), HANDLERS, EVENT_HANDLERS, workers=[sender])


def build_smtp_client(settings: NotificationSettings) -> aiosmtplib.SMTP:
    """The client of the mail server. It names itself by the sender's domain: asking for our own could block."""
    return aiosmtplib.SMTP(
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        username=settings.smtp_user or None,
        password=settings.smtp_password.get_secret_value() or None,
        use_tls=settings.smtp_tls == "tls",
        start_tls={"auto": None, "starttls": True}.get(settings.smtp_tls, False),
        timeout=settings.smtp_timeout,
        local_hostname=settings.mail_from.rpartition("@")[2],
    )


SERVICE = ServiceDefinition("notification", NotificationSettings, connect, build)

if __name__ == "__main__":
    SERVICE.main()
