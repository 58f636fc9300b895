"""Commands for Docker Compose: `souk compose-secrets` before it, `souk init-servers` and `souk bootstrap` inside it.

Compose mounts the file of a secret into a container with its owner and mode, and the containers run as users that this
machine does not know. So the files in `.souk/compose` are readable by all users, and only the folder around them is
closed: other users of this machine cannot enter it, and a container sees only the files mounted into it.
"""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import typer
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console

from contracts.operation import EDGE
from contracts.size_limits import MAX_MESSAGE_BYTES
from infra.messaging.nats_accounts import render_accounts
from infra.messaging.permissions import NATS_USERS
from infra.ops.cli import certificate as certificates
from infra.ops.cli.admin_client import DEFAULT_EMAIL, PASSWORD_FILE, AdminSettings, ensure_admin
from infra.ops.cli.options import DataOption
from infra.ops.cli.running_stack import find_data_dir
from infra.ops.cli.seed import seed
from infra.ops.devstack import mongo, nats
from infra.ops.devstack.data_dir import data_dir_at, open_data_dir
from infra.ops.devstack.endpoints import StackEndpoints
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.secret_files import (
    DATABASE_PASSWORD,
    MONGO_PASSWORD,
    NATS_PASSWORD,
    OPERATOR,
    POSTGRES_PASSWORD,
    PROXY_SECRET,
    READERS_DIR,
    SMTP_PASSWORD,
    SecretFiles,
)
from infra.ops.devstack.service_programs import EXTRA_SECRETS
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import SERVICE_STORES, StackSettings

COMPOSE_DIR = "compose"
NATS_PORT, NATS_MONITOR_PORT, NATS_STORE_DIR = 4222, 8222, "/data"
SHARED_DIR_MODE, SHARED_FILE_MODE = 0o755, 0o444

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def compose_secrets(
    *,
    data: DataOption = None,
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name or address for the self-signed certificate. Can be repeated."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your own certificate with its chain (PEM).")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="The key of your certificate (PEM).")] = None,
) -> None:
    """Create the passwords, keys and certificate that `docker compose up` needs. Existing ones stay.

    Example: souk compose-secrets --host shop.example
    """
    if (certificate is None) != (key is None):
        raise StackError("Provide both --certificate and --key, or neither.")
    given = certificates.load_certificate_pair(certificate, key) if certificate and key else None
    data_dir = open_data_dir(find_data_dir(data).path, required_bytes=0)
    folder = data_dir.path / COMPOSE_DIR
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    secrets = create_all_secrets(SecretFiles(data_dir_at(folder).secrets_dir))
    _write_nats_config(folder / "nats", secrets)
    _write_certificate(folder / "tls", given, [*certificates.DEFAULT_HOSTS, *(host or ())])
    _make_readable(folder)
    console = Console(highlight=False)
    console.print(f"{folder} is ready for `docker compose up --build`. Only you can open it.", soft_wrap=True)
    email = AdminSettings().admin_email or DEFAULT_EMAIL
    console.print(
        f"The shop's administrator will be {email}. The password is in {secrets.root / PASSWORD_FILE}.",
        soft_wrap=True,
    )


def create_all_secrets(secrets: SecretFiles) -> SecretFiles:
    """Generates every secret of every owner, so that containers can mount the folder read-only."""
    for name in NATS_USERS:
        secrets.get_or_create(name, NATS_PASSWORD)
    for service, store in SERVICE_STORES.items():
        for name in (DATABASE_PASSWORD if store == "postgres" else MONGO_PASSWORD, *EXTRA_SECRETS.get(service, ())):
            secrets.get_or_create(service, name)
    for name in (POSTGRES_PASSWORD, MONGO_PASSWORD):
        secrets.get_or_create(OPERATOR, name)
    secrets.get_or_create(EDGE, PROXY_SECRET)
    secrets.mongo_keyfile()
    _write_chosen_passwords(secrets)
    secrets.get_or_create("", PASSWORD_FILE)
    secrets.owner_dir(READERS_DIR)
    return secrets


def _write_chosen_passwords(secrets: SecretFiles) -> None:
    """Writes the passwords that the operator chooses: a variable of a container is visible in `docker inspect`."""
    chosen = ChosenPasswords()
    admin = secrets.owner_dir("") / PASSWORD_FILE
    if (password := chosen.admin_password.get_secret_value()) and not admin.exists():  # later, the account decides
        _write_if_changed(admin, password.encode())
    mail = secrets.owner_dir("notification") / SMTP_PASSWORD
    if (password := chosen.smtp_password.get_secret_value()) or not mail.exists():
        _write_if_changed(mail, password.encode())


def _write_nats_config(folder: Path, secrets: SecretFiles) -> None:
    """Writes the configuration of the local stack's NATS for one in a container."""
    users = render_accounts(
        {name: secrets.get_or_create(name, NATS_PASSWORD) for name in NATS_USERS}, secrets.reader_passwords()
    )
    config = nats.CONFIG.format(
        name="nats",
        host="0.0.0.0",  # noqa: S104 - in a container with a closed network
        port=NATS_PORT,
        monitor=NATS_MONITOR_PORT,
        store=json.dumps(NATS_STORE_DIR),
        max_store_bytes=shutil.disk_usage(folder.parent).total * 3 // 4,  # of this machine, where the volume will be
        max_payload=MAX_MESSAGE_BYTES,
    )
    _write_if_changed(folder / "nats.conf", config.replace("souk up", "souk compose-secrets").encode())
    _write_if_changed(folder / "nats-users.conf", users.encode())


def _write_certificate(folder: Path, given: tuple[bytes, bytes] | None, hosts: Sequence[str]) -> None:
    at, shown = certificates.utc_now(), folder / "certificate.pem"
    if given is None and certificates.is_reusable(shown, hosts, at):
        return
    certificate, key = given or certificates.create_self_signed(hosts, at)
    _write_if_changed(folder / "key.pem", key)
    _write_if_changed(shown, certificate)


def _write_if_changed(path: Path, content: bytes) -> None:
    """Does not replace an unchanged file, since a running container may have it mounted."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists() and path.read_bytes() == content:
        return
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(content)
    draft.replace(path)


def _make_readable(folder: Path) -> None:
    for path in folder.rglob("*"):
        path.chmod(SHARED_DIR_MODE if path.is_dir() else SHARED_FILE_MODE)


class ChosenPasswords(BaseSettings):
    """Passwords that the operator chooses; an empty one is generated, or not needed."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", env_file=".env", extra="ignore", frozen=True)

    admin_password: SecretStr = SecretStr("")
    smtp_password: SecretStr = SecretStr("")


class ExternalServerSettings(BaseSettings):
    """External servers. A URL without a password gets the superuser's from the folder of secrets (SOUK_VAULT)."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", extra="ignore", frozen=True, hide_input_in_errors=True)

    vault: Path
    nats_url: str
    postgres_url: str
    mongo_url: str


class BootstrapSettings(BaseSettings):
    """A shop that runs in containers or elsewhere."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", extra="ignore", frozen=True, hide_input_in_errors=True)

    vault: Path
    nats_url: str
    edge_url: str
    seed: bool = True


def init_servers() -> None:
    """Prepare external servers for the services: replica set, roles, databases, tables and streams. Safe to repeat.

    It needs SOUK_NATS_URL, SOUK_POSTGRES_URL and SOUK_MONGO_URL, and in SOUK_VAULT the folder of secrets that
    `souk compose-secrets` has created.

    Example: SOUK_VAULT=.souk/compose/secrets souk init-servers
    """
    asyncio.run(_init_servers(_load_settings(ExternalServerSettings)))
    typer.echo("NATS, PostgreSQL and MongoDB are ready for the services.")


async def _init_servers(settings: ExternalServerSettings) -> None:
    secrets = _existing_secrets(settings.vault)
    mongo_url = _with_password(settings.mongo_url, secrets.get_or_create(OPERATOR, MONGO_PASSWORD))
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(
            StackSettings(
                _env_file=None,
                data=Path(folder),
                parts=frozenset({"nats", "postgres", "mongo"}),
                nats_url=settings.nats_url,
                postgres_url=_with_password(settings.postgres_url, secrets.get_or_create(OPERATOR, POSTGRES_PASSWORD)),
                mongo_url=mongo_url,
            )
        )
        stack.secrets = secrets
        await mongo.ensure_replica_set(mongo_url)
        async with stack.running():
            pass


def bootstrap() -> None:
    """Create the administrator of a shop that runs elsewhere, and load the demo catalog. Safe to repeat.

    It needs SOUK_NATS_URL, SOUK_EDGE_URL, and SOUK_VAULT as in `init-servers`. SOUK_SEED=false skips the catalog.

    Example: SOUK_SEED=false souk bootstrap
    """
    settings = _load_settings(BootstrapSettings)
    asyncio.run(_bootstrap(settings))
    typer.echo("The shop has its administrator" + (" and its demo catalog." if settings.seed else "."))


async def _bootstrap(settings: BootstrapSettings) -> None:
    endpoints = StackEndpoints(StackSettings(_env_file=None, nats_url=settings.nats_url))
    endpoints.secrets = _existing_secrets(settings.vault)
    admin = await ensure_admin(endpoints)
    if settings.seed:
        await seed(settings.edge_url, admin.credentials)


def _load_settings(kind: type[SettingsT]) -> SettingsT:
    try:
        return kind()
    except ValidationError as error:
        names = ", ".join(f"SOUK_{'_'.join(map(str, item['loc'])).upper()}" for item in error.errors())
        raise StackError(f"Set these variables to valid values: {names}.") from None


def _existing_secrets(folder: Path) -> SecretFiles:
    """Returns the secrets that `souk compose-secrets` created. A password generated here would match no server's."""
    if not (folder / OPERATOR / NATS_PASSWORD).is_file():
        raise StackError(f"{folder} contains no secrets. Run `souk compose-secrets`, and set SOUK_VAULT to its folder.")
    return SecretFiles(folder)


def _with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at or ":" in user:
        return url
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))
