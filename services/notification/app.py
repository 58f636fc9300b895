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
from infra.messaging.consumer import Reaction
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Kit, Room, Service
from services.notification.domain.deliveries import KINDS
from services.notification.handlers import events as handlers
from services.notification.handlers import privacy as erasing
from services.notification.handlers.events import Desk
from services.notification.mail.contacts import Contacts
from services.notification.mail.smtp import Smtp
from services.notification.mail.templates import Letters
from services.notification.mail.token_bucket import Pace
from services.notification.workers.mail_sender import Sender

ASKS: dict[AnyOperation, Handler] = {
    contract.LIST: handlers.list_notifications,
    privacy.ERASE[contract.SERVICE]: erasing.erase,
    privacy.EXPORT[contract.SERVICE]: erasing.export,
}
REACTIONS: dict[type[Event], Reaction] = {
    **dict.fromkeys(KINDS, handlers.tell_customer),
    VerificationRequested: handlers.mail_token,
    ResetRequested: handlers.mail_token,
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


def build(kit: Kit[NotificationSettings, Database]) -> Room:
    settings = kit.settings
    sender = Sender(
        kit.store,
        Contacts(kit.asker),
        Letters(settings.shop_name, settings.shop_url),
        [Smtp(client_of(settings)) for _ in range(settings.smtp_connections)],
        sender=Address(display_name=settings.shop_name, addr_spec=settings.mail_from),
        pace=Pace(settings.mail_rate, time.monotonic),
        mails=Counter(
            "souk_mails_total", "Mails, by what became of them.", ("kind", "status"), registry=kit.metrics.registry
        ),
    )
    return Room(Desk(kit.store, sender.wake), ASKS, REACTIONS, workers=[sender])


def client_of(settings: NotificationSettings) -> aiosmtplib.SMTP:
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


SERVICE = Service("notification", NotificationSettings, connect, build)

if __name__ == "__main__":
    SERVICE.main()
