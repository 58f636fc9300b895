"""Settings of the notification service, read from `SOUK_*` variables."""

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from contracts.email_addresses import has_unicode_name
from contracts.model import Email
from infra.foundation.settings import PostgresSettings


class NotificationSettings(PostgresSettings):
    """Everything an operator can set for the notification service."""

    pace: float = Field(0.1, ge=0, le=5, description="Longest pause between two batches of events, in seconds.")
    niceness: int = Field(
        10, ge=0, le=19, description="CPU priority of the process; low by default, as a mail can wait for a checkout."
    )
    smtp_host: str = Field("127.0.0.1", description="Host of the mail server.")
    smtp_port: int = Field(10025, ge=0, le=65535, description="Port of the mail server.")
    smtp_tls: Literal["auto", "off", "starttls", "tls"] = Field(
        "auto", description="Encryption to the mail server; `auto` uses STARTTLS where the server offers it."
    )
    smtp_user: str = Field("", description="User at the mail server; empty for no login.")
    smtp_password: SecretStr = Field(SecretStr(""), description="Password at the mail server.")
    smtp_timeout: float = Field(10.0, gt=0, description="Seconds that the mail server has for each reply.")
    smtp_connections: int = Field(
        4, ge=1, le=32, description="Connections to the mail server, each sending one mail at a time."
    )
    mail_from: Email = Field("orders@souk.example", description="Sender address of all mails.")
    mail_rate: float = Field(
        1000.0,
        gt=0,
        description="Mails per second that one process sends at most; a purchase sends two. The default suits the "
        "local mail sink. Set what your mail provider allows.",
    )
    unconfirmed_mails_per_hour: int = Field(
        10,
        gt=0,
        description="Mails per hour that may begin with one guest or one account that never confirmed its e-mail; "
        "further mails about an order that was mailed before are never refused.",
    )
    unconfirmed_mails_per_day: int = Field(30, gt=0, description="The same per day.")
    shop_name: str = Field("Souk", description="Name of the shop in mails.")
    shop_url: str = Field(
        "", pattern="^(https?://.*)?$", description="Address of the shop for links in mails; empty for no links."
    )

    @model_validator(mode="after")
    def _require_smtp_utf8_for_a_unicode_sender(self) -> Self:
        if has_unicode_name(self.mail_from) and not self.smtp_utf8:
            message = "SOUK_MAIL_FROM has letters beyond ASCII before the @, which needs SOUK_SMTP_UTF8"
            raise ValueError(message)
        return self
