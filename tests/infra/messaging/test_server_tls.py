"""TLS to each server: the address asks for it, and a file names the trusted certificate.

NATS supports TLS itself. The PostgreSQL wheel is built without it, so a TLS proxy stands in front of PostgreSQL and of
MongoDB. The tests check our side: it must use TLS, verify the certificate, and refuse one that it does not trust.
"""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import ServerSelectionTimeoutError

from infra.database import mongo, postgres
from infra.foundation.settings import MongoSettings, PostgresSettings, Settings
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor, connect
from infra.ops.cli.certificate import create_self_signed, utc_now
from infra.ops.devstack.free_ports import LOOPBACK, PortPicker
from infra.ops.devstack.readiness_probes import accepts_connections
from infra.ops.devstack.secret_files import DATABASE_PASSWORD
from infra.ops.devstack.server_binaries import ServerFinder
from infra.ops.devstack.stack import Stack
from infra.runtime.application import build_broker
from tests.support.eventually import eventually

CONFIG = """
listen: "{host}:{port}"
tls {{ cert_file: "{folder}/cert.pem", key_file: "{folder}/key.pem" }}
authorization {{ user: order, password: "a password" }}
"""
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """The certificate and key of a server, and `untrusted.pem`, which certifies another key."""
    certificate, key = create_self_signed([LOOPBACK], utc_now())
    untrusted, _ = create_self_signed([LOOPBACK], utc_now())
    for name, text in {"cert.pem": certificate, "key.pem": key, "untrusted.pem": untrusted}.items():
        (tmp_path / name).write_bytes(text)
    return tmp_path


@pytest.fixture
async def tls_nats(certificates: Path, ports: PortPicker) -> AsyncIterator[str]:
    port = ports.reserve(0, "a test", "nothing")
    config = certificates / "nats.conf"
    config.write_text(CONFIG.format(host=LOOPBACK, port=port, folder=certificates))
    process = await asyncio.create_subprocess_exec(
        str(ServerFinder().nats().binary), "-c", str(config), stderr=asyncio.subprocess.DEVNULL
    )

    await eventually(lambda: accepts_connections(port))
    yield f"tls://{LOOPBACK}:{port}"
    process.terminate()
    await process.wait()


async def test_nats(tls_nats: str, certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the plain client of the edge and of commands, and for the broker of a service."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "cert.pem"))
    async with connect(tls_nats, "order", "a password") as client:
        assert client.is_connected
        transport: Any = client._transport
        assert transport._io_writer.get_extra_info("ssl_object").version() in {"TLSv1.2", "TLSv1.3"}
    settings = Settings(_env_file=None, nats_url=tls_nats, nats_password="a password")
    broker = build_broker("order", [], ConnectionMonitor(Metrics()))
    broker.configure(settings, "order")
    async with asyncio.timeout(10), broker:
        assert await broker.ping(timeout=3)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
async def test_nats_with_untrusted_certificate(
    tls_nats: str, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "untrusted.pem"))
    with pytest.raises((ssl.SSLError, OSError, TimeoutError)):
        async with asyncio.timeout(3), connect(tls_nats, "order", "a password"):
            pytest.fail("the certificate was trusted")
    gc.collect()  # nats-py leaves the failed connection to the garbage collector, which warns about it


@asynccontextmanager
async def tls_proxy(port: int, certificates: Path, *, greeting: bytes = b"") -> AsyncIterator[int]:
    """Terminates TLS in front of a server on `port`. The client must send `greeting` before the handshake."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if greeting:
                assert await reader.readexactly(len(greeting)) == greeting
                writer.write(b"S")
                await writer.drain()
            await writer.start_tls(context)
            upstream_reader, upstream_writer = await asyncio.open_connection(LOOPBACK, port)
            await asyncio.gather(_forward(reader, upstream_writer), _forward(upstream_reader, writer))

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await source.read(65536):
            target.write(chunk)
            await target.drain()
    target.close()


async def test_postgres(stack: Stack, certificates: Path) -> None:
    server = urlsplit(stack.dsn("order", with_password=False))
    async with tls_proxy(server.port or 0, certificates, greeting=SSL_REQUEST) as port:

        def settings(ca: str) -> PostgresSettings:
            url = f"postgresql://souk_order@{LOOPBACK}:{port}/souk_order"
            return PostgresSettings(
                _env_file=None,
                nats_password="unused",
                database_url=f"{url}?sslmode=verify-full&sslrootcert={certificates / ca}",
                database_password=stack.secrets.get_or_create("order", DATABASE_PASSWORD),
            )

        async with postgres.connect(settings("cert.pem"), "order") as database, database.connection() as connection:
            assert connection.get_server_pid()
            assert await connection.fetchval("SELECT 1") == 1
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncpg.connect(
                settings("untrusted.pem").database_url, password=stack.secrets.get_or_create("order", DATABASE_PASSWORD)
            )


async def test_mongo(stack: Stack, certificates: Path) -> None:
    server = urlsplit(stack.cart_url())
    async with tls_proxy(server.port or 0, certificates) as port:

        def settings(ca: str) -> MongoSettings:
            url = f"mongodb://{LOOPBACK}:{port}/?directConnection=true&tls=true&tlsCAFile={certificates / ca}"
            return MongoSettings(
                _env_file=None, nats_password="unused", mongo_url=url, mongo_password=stack.cart_mongo_password()
            )

        async with mongo.connect(settings("cert.pem"), "trial") as store:
            assert await store.database.command("ping")
        url = settings("untrusted.pem").mongo_url
        async with AsyncMongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=1000) as client:
            with pytest.raises(ServerSelectionTimeoutError, match="certificate verify failed"):
                await client.admin.command("ping")
