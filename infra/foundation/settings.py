"""Settings: read once, in the composition root, into a frozen object.

Each comes from the environment (`SOUK_NATS_URL`), from `.env`, or from a file of that name in lower case in the folder
that `SOUK_SECRETS_DIR` names, which is how passwords come in.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NoReturn, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

INTERNAL_SECRETS = frozenset({"nats_password", "database_password", "mongo_password", "keys_secret"})
"""What Souk's parts know one another by. None has a default."""
MIN_DISTINCT_CHARACTERS = 12
"""Different characters that such a secret has at the least: `souk secrets` makes them of 32."""


class Settings(BaseSettings):
    """What every process of Souk needs to know."""

    model_config = SettingsConfigDict(
        env_prefix="SOUK_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    environment: Literal["local", "production"] = "local"
    crash_folder: Path | None = Field(None, description="Orders for crash points, in a fault run; never in production.")
    nats_url: str = "nats://127.0.0.1:4222"
    nats_password: SecretStr
    ops_host: str = "127.0.0.1"
    ops_port: int = Field(0, description="Health and metrics of the process; 0 is a free one.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    otlp_endpoint: str = Field("", description="Where traces go (OTLP over HTTP); empty keeps them here.")
    ask_timeout: float = Field(3.0, gt=0, description="Seconds a service waits for another's answer.")
    max_in_flight: int = Field(256, gt=0, description="Asks at work at once; more are refused as overload.")
    drain_timeout: float = Field(10.0, gt=0, description="Seconds that work under way may take at the end.")
    pace: float = Field(
        0.04,
        ge=0,
        le=5,
        description="Seconds between two rounds of events, so that a busy service hears several at once.",
    )
    niceness: int = Field(0, ge=0, le=19, description="How far others come first when the machine is busy.")
    currency: str = Field("USD", pattern="^[A-Z]{3}$", description="What the shop sells in (ISO 4217).")

    @model_validator(mode="after")
    def _forbid_failpoints_in_production(self) -> Self:
        if self.crash_folder and self.environment == "production":
            message = "production takes no orders to crash: unset SOUK_CRASH_FOLDER"
            raise ValueError(message)
        return self


class PostgresSettings(Settings):
    database_url: str
    database_password: SecretStr
    database_pool: int = Field(10, gt=0, description="Connections of one process.")


class MongoSettings(Settings):
    mongo_url: str
    mongo_user: str = "souk_cart"
    mongo_password: SecretStr
    mongo_database: str = "souk_cart"


SettingsT = TypeVar("SettingsT", bound=Settings)


def load_settings(settings_class: type[SettingsT]) -> SettingsT:
    """The settings, or an end that names what is missing; values are never shown."""
    try:
        settings = settings_class(_secrets_dir=os.environ.get("SOUK_SECRETS_DIR"))
    except ValidationError as error:
        _exit_with(f"{'_'.join(('SOUK', *map(str, item['loc']))).upper()}: {item['msg']}" for item in error.errors())
    if weak := [name for name in INTERNAL_SECRETS & settings_class.model_fields.keys() if _is_weak(settings, name)]:
        _exit_with(
            f"SOUK_{name.upper()}: too weak for production; `openssl rand -base64 24` makes one" for name in weak
        )
    return settings


def _is_weak(settings: Settings, name: str) -> bool:
    """Short ones are guessed, and those of examples are known."""
    return (
        settings.environment == "production"
        and len(set(getattr(settings, name).get_secret_value())) < MIN_DISTINCT_CHARACTERS
    )


def _exit_with(lines: Iterable[str]) -> NoReturn:
    sys.exit("Souk cannot start; these settings need a look:\n" + "\n".join(f"  {line}" for line in lines))
