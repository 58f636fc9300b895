"""Settings of a process, read once at its start into a frozen object.

A setting comes from the environment (`SOUK_NATS_URL`), from `.env`, or from a file with its name in lower case in the
folder that `SOUK_SECRETS_DIR` names. Passwords come from such files.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NoReturn, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

INTERNAL_SECRETS = frozenset(
    {"nats_password", "database_password", "mongo_password", "keys_secret", "access_secret", "gift_card_secret"}
)
"""Secrets between the processes of Souk. None has a default."""
MIN_DISTINCT_CHARACTERS = 12
"""Distinct characters that an internal secret needs in production. `souk compose-secrets` makes 32 characters."""


class Settings(BaseSettings):
    """Settings that every process has."""

    model_config = SettingsConfigDict(
        env_prefix="SOUK_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    environment: Literal["local", "production"] = "local"
    crash_folder: Path | None = Field(
        None, description="Folder that arms failpoints in fault tests; not for production."
    )
    nats_url: str = "nats://127.0.0.1:4222"
    nats_password: SecretStr
    ops_host: str = "127.0.0.1"
    ops_port: int = Field(0, description="Port of the health checks and metrics; 0 takes a free one.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    otlp_endpoint: str = Field("", description="OTLP/HTTP endpoint for traces; empty exports none.")
    ask_timeout: float = Field(3.0, gt=0, description="Seconds a service waits for a reply from another service.")
    max_in_flight: int = Field(256, gt=0, description="Requests handled at once; more are refused as overload.")
    drain_timeout: float = Field(10.0, gt=0, description="Seconds that running work may take at shutdown.")
    pace: float = Field(
        0.04,
        ge=0,
        le=5,
        description="Longest pause between two batches of events; each is as long as the batch before it took.",
    )
    niceness: int = Field(
        0,
        ge=0,
        le=19,
        description="Nice value of the process; a higher one lets others run first.",
    )
    fast_path: bool = Field(
        default=True,
        description="Hand messages from NATS straight to tasks; false runs FastStream's subscribers and middlewares.",
    )
    smtp_utf8: bool = Field(
        default=False,
        description="Accept e-mail addresses with letters beyond ASCII before the @; "
        "only if the mail server has SMTPUTF8.",
    )
    currency: str = Field("USD", pattern="^[A-Z]{3}$", description="Currency of the shop (ISO 4217).")

    @model_validator(mode="after")
    def _forbid_failpoints_in_production(self) -> Self:
        if self.crash_folder and self.environment == "production":
            message = "failpoints are not allowed in production; unset SOUK_CRASH_FOLDER"
            raise ValueError(message)
        return self


class PostgresSettings(Settings):
    """Settings of a service with a PostgreSQL database."""

    database_url: str
    database_password: SecretStr
    database_pool: int = Field(10, gt=0, description="Database connections of one process.")


class MongoSettings(Settings):
    """Settings of a service with a MongoDB database."""

    mongo_url: str
    mongo_user: str = "souk_cart"
    mongo_password: SecretStr
    mongo_database: str = "souk_cart"


SettingsT = TypeVar("SettingsT", bound=Settings)


def load_settings(settings_class: type[SettingsT]) -> SettingsT:
    """Returns the settings, or exits with a list of the wrong ones. The list never contains values."""
    try:
        settings = settings_class(_secrets_dir=os.environ.get("SOUK_SECRETS_DIR"))
    except ValidationError as error:
        _exit_with(f"{'_'.join(('SOUK', *map(str, item['loc']))).upper()}: {item['msg']}" for item in error.errors())
    if weak := [name for name in INTERNAL_SECRETS & settings_class.model_fields.keys() if _is_weak(settings, name)]:
        _exit_with(
            f"SOUK_{name.upper()}: too weak for production; make one with `openssl rand -base64 24`" for name in weak
        )
    return settings


def _is_weak(settings: Settings, name: str) -> bool:
    """Whether a secret has too few distinct characters: short secrets are guessed, those of examples are known."""
    return (
        settings.environment == "production"
        and len(set(getattr(settings, name).get_secret_value())) < MIN_DISTINCT_CHARACTERS
    )


def _exit_with(lines: Iterable[str]) -> NoReturn:
    sys.exit("Souk cannot start. Correct these settings:\n" + "\n".join(f"  {line}" for line in lines))
