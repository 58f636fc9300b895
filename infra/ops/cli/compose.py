"""What `docker compose up` needs from us: `souk secrets` before it, `souk prepare` and `souk furnish` inside it.

Compose hands a secret to a container as a bind mount of its file, which keeps owner and mode, and the containers run as
users that this machine does not know. So the files in `.souk/compose` are readable by all, and the folder around them
opens for its owner alone: on this machine nobody else gets in, and a container sees the files that it was given.
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
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console

from infra.messaging.permissions import NATS_USERS, render_users
from infra.ops.cli import certificate as certificates
from infra.ops.cli.admin_account import EMAIL, PASSWORD, ensure_admin
from infra.ops.cli.seed import seed
from infra.ops.cli.up import options_of
from infra.ops.devstack import mongo, nats
from infra.ops.devstack.data_dir import layout_of, open_data_folder
from infra.ops.devstack.endpoints import Whereabouts
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.secret_files import DATABASE, MONGO, NATS, OPERATOR, POSTGRES_SUPERUSER, READERS, Vault
from infra.ops.devstack.service_programs import MORE_SECRETS
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import STORES, Options

FOLDER = "compose"
NATS_PORT, NATS_MONITOR_PORT, NATS_STORE = 4222, 8222, "/data"
OPEN_FOLDER, OPEN_FILE = 0o755, 0o444

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def secrets(
    *,
    data: Annotated[Path | None, typer.Option(help="The data folder (SOUK_DATA; .souk).")] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="A name or address of the shop, for a certificate made here; may repeat.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="Your own certificate with its chain (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="The certificate's key (PEM).")] = None,
) -> None:
    """Make the passwords, keys and certificate for `docker compose up`. What is there stays."""
    if (certificate is None) != (key is None):
        raise StackError("A certificate and its key come together: give both --certificate and --key.")
    given = certificates.own(certificate, key) if certificate and key else None
    layout = open_data_folder(options_of({"data": data} if data else {}).data, space_needed=0)
    folder = layout.data / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    vault = fill(Vault(layout_of(folder).secrets))
    _write_nats(folder / "nats", vault)
    _write_certificate(folder / "tls", given, [*certificates.HOSTS, *(host or ())])
    _open_to_containers(folder)
    console = Console(highlight=False)
    console.print(f"{folder} holds what `docker compose up --build` needs; only you can open it.", soft_wrap=True)
    console.print(
        f"The shop's administrator will be {EMAIL}; the password is in {vault.folder / PASSWORD}.", soft_wrap=True
    )


def fill(vault: Vault) -> Vault:
    """Every secret of every owner, so that nobody needs to write into the vault later."""
    for name in NATS_USERS:
        vault.secret(name, NATS)
    for service, store in STORES.items():
        for name in (DATABASE if store == "postgres" else MONGO, *MORE_SECRETS.get(service, ())):
            vault.secret(service, name)
    for name in (POSTGRES_SUPERUSER, MONGO):
        vault.secret(OPERATOR, name)
    vault.mongo_keyfile()
    vault.secret("", PASSWORD)
    vault.of(READERS)
    return vault


def _write_nats(folder: Path, vault: Vault) -> None:
    """The configuration of the local stack's server, for one in a container."""
    users = render_users({name: vault.secret(name, NATS) for name in NATS_USERS}, vault.readers())
    config = nats.CONFIG.format(
        name="nats",
        host="0.0.0.0",  # noqa: S104 - in a container, in a network that is closed
        port=NATS_PORT,
        monitor=NATS_MONITOR_PORT,
        store=json.dumps(NATS_STORE),
        room=shutil.disk_usage(folder.parent).total * 3 // 4,  # of this machine, where the volume will be
    )
    _write(folder / "nats.conf", config.replace("souk up", "souk secrets").encode())
    _write(folder / "nats-users.conf", users.encode())


def _write_certificate(folder: Path, given: tuple[bytes, bytes] | None, hosts: Sequence[str]) -> None:
    at, shown = certificates.now(), folder / "certificate.pem"
    if given is None and certificates.may_stay(shown, hosts, at):
        return
    certificate, key = given or certificates.self_signed(hosts, at)
    _write(folder / "key.pem", key)
    _write(shown, certificate)


def _write(path: Path, content: bytes) -> None:
    """A file that says this already stays the same one: a container that runs has it mounted."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists() and path.read_bytes() == content:
        return
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(content)
    draft.replace(path)


def _open_to_containers(folder: Path) -> None:
    for path in folder.rglob("*"):
        path.chmod(OPEN_FOLDER if path.is_dir() else OPEN_FILE)


class Elsewhere(BaseSettings):
    """Servers that somebody else runs. A URL without a password gets the one that the vault has for the superuser."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", extra="ignore", frozen=True, hide_input_in_errors=True)

    vault: Path
    nats_url: str
    postgres_url: str
    mongo_url: str


class Shop(BaseSettings):
    """A shop that somebody else runs."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", extra="ignore", frozen=True, hide_input_in_errors=True)

    vault: Path
    nats_url: str
    edge_url: str
    seed: bool = True


def prepare() -> None:
    """Make servers that run elsewhere ready for the services: replica set, roles, databases, tables, streams.

    Where they are say SOUK_NATS_URL, SOUK_POSTGRES_URL and SOUK_MONGO_URL; SOUK_VAULT is the folder of passwords that
    `souk secrets` made. It can run again at any time.
    """
    asyncio.run(_prepare(_read(Elsewhere)))
    typer.echo("NATS, PostgreSQL and MongoDB are ready for the services.")


async def _prepare(settings: Elsewhere) -> None:
    vault = _filled(settings.vault)
    mongo_url = _with_password(settings.mongo_url, vault.secret(OPERATOR, MONGO))
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(
            Options(
                _env_file=None,
                data=Path(folder),
                parts=frozenset({"nats", "postgres", "mongo"}),
                nats_url=settings.nats_url,
                postgres_url=_with_password(settings.postgres_url, vault.secret(OPERATOR, POSTGRES_SUPERUSER)),
                mongo_url=mongo_url,
            )
        )
        stack.vault = vault
        await mongo.unite(mongo_url)
        async with stack.running():
            pass


def furnish() -> None:
    """Make the administrator's account in a shop that runs elsewhere, and bring in the demo catalogue.

    SOUK_NATS_URL and SOUK_EDGE_URL say where it is; SOUK_VAULT is as in `prepare`. SOUK_SEED=false leaves the
    catalogue out.
    """
    settings = _read(Shop)
    asyncio.run(_furnish(settings))
    typer.echo("The shop has its administrator" + (" and its demo catalogue." if settings.seed else "."))


async def _furnish(settings: Shop) -> None:
    where = Whereabouts(Options(_env_file=None, nats_url=settings.nats_url))
    where.vault = _filled(settings.vault)
    admin = await ensure_admin(where)
    if settings.seed:
        await seed(settings.edge_url, admin.credentials)


def _read(kind: type[SettingsT]) -> SettingsT:
    try:
        return kind()
    except ValidationError as error:
        names = ", ".join(f"SOUK_{'_'.join(map(str, item['loc'])).upper()}" for item in error.errors())
        raise StackError(f"These settings are missing or make no sense: {names}.") from None


def _filled(folder: Path) -> Vault:
    """A vault that `souk secrets` filled: made up here, a password would be one that nobody else knows."""
    if not (folder / OPERATOR / NATS).is_file():
        raise StackError(f"{folder} holds no secrets: run `souk secrets` first, and name its folder in SOUK_VAULT.")
    return Vault(folder)


def _with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    if not at or ":" in user:
        return url
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}"))
