"""TLS to each server, with a certificate made here: said in the address, vouched for by a file.

NATS speaks it itself. The wheel of PostgreSQL is built without it, so a TLS end stands in front of it, as it does in
front of MongoDB: what is tried is our side, which must speak TLS, look at the certificate, and refuse a stranger's.
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
from infra.messaging import connection as messaging
from infra.ops.cli.certificate import now, self_signed
from infra.ops.devstack.free_ports import LOOPBACK, Ports
from infra.ops.devstack.readiness_probes import listens
from infra.ops.devstack.secret_files import DATABASE
from infra.ops.devstack.server_binaries import Search
from infra.ops.devstack.stack import Stack
from tests.support.eventually import eventually

CONFIG = """
listen: "{host}:{port}"
tls {{ cert_file: "{folder}/cert.pem", key_file: "{folder}/key.pem" }}
authorization {{ user: order, password: "a password" }}
"""
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A server's `cert.pem` and `key.pem`, and `stranger.pem`, which vouches for nothing here."""
    certificate, key = self_signed([LOOPBACK], now())
    stranger, _ = self_signed([LOOPBACK], now())
    for name, text in {"cert.pem": certificate, "key.pem": key, "stranger.pem": stranger}.items():
        (tmp_path / name).write_bytes(text)
    return tmp_path


@pytest.fixture
async def tls_nats(certificates: Path) -> AsyncIterator[str]:
    port = Ports().take(0, "a test", "nothing")
    config = certificates / "nats.conf"
    config.write_text(CONFIG.format(host=LOOPBACK, port=port, folder=certificates))
    process = await asyncio.create_subprocess_exec(
        str(Search().nats().binary), "-c", str(config), stderr=asyncio.subprocess.DEVNULL
    )

    await eventually(lambda: listens(port))
    yield f"tls://{LOOPBACK}:{port}"
    process.terminate()
    await process.wait()


async def test_nats(tls_nats: str, certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the edge and people's commands, and for a service's broker."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "cert.pem"))
    async with messaging.connect(tls_nats, "order", "a password") as client:
        assert client.is_connected
        transport: Any = client._transport
        assert transport._io_writer.get_extra_info("ssl_object").version() in {"TLSv1.2", "TLSv1.3"}
    settings = Settings(_env_file=None, nats_url=tls_nats, nats_password="a password")
    broker = messaging.build_broker(settings, "order", messaging.ConnectionMonitor(Metrics()))
    async with asyncio.timeout(10), broker:
        assert await broker.ping(timeout=3)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
async def test_nats_of_a_stranger(tls_nats: str, certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "stranger.pem"))
    with pytest.raises((ssl.SSLError, OSError, TimeoutError)):
        async with asyncio.timeout(3), messaging.connect(tls_nats, "order", "a password"):
            pytest.fail("it was believed")
    gc.collect()  # the client leaves what it gave up to the collector, and that is told as a warning


@asynccontextmanager
async def end_before(port: int, certificates: Path, *, greeting: bytes = b"") -> AsyncIterator[int]:
    """TLS towards the client, and plain words with the server; `greeting` is what has to be said before."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if greeting:
                assert await reader.readexactly(len(greeting)) == greeting
                writer.write(b"S")
                await writer.drain()
            await writer.start_tls(context)
            there, back = await asyncio.open_connection(LOOPBACK, port)
            await asyncio.gather(_pass(reader, back), _pass(there, writer))

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while said := await source.read(65536):
            target.write(said)
            await target.drain()
    target.close()


async def test_postgres(stack: Stack, certificates: Path) -> None:
    place = urlsplit(stack.dsn("order", with_password=False))
    async with end_before(place.port or 0, certificates, greeting=SSL_REQUEST) as port:

        def settings(ca: str) -> PostgresSettings:
            url = f"postgresql://souk_order@{LOOPBACK}:{port}/souk_order"
            return PostgresSettings(
                _env_file=None,
                nats_password="unused",
                database_url=f"{url}?sslmode=verify-full&sslrootcert={certificates / ca}",
                database_password=stack.vault.secret("order", DATABASE),
            )

        async with postgres.connect(settings("cert.pem"), "order") as database, database.connection() as connection:
            assert connection.get_server_pid()
            assert await connection.fetchval("SELECT 1") == 1
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncpg.connect(settings("stranger.pem").database_url, password=stack.vault.secret("order", DATABASE))


async def test_mongo(stack: Stack, certificates: Path) -> None:
    place = urlsplit(stack.cart_url())
    async with end_before(place.port or 0, certificates) as port:

        def settings(ca: str) -> MongoSettings:
            url = f"mongodb://{LOOPBACK}:{port}/?directConnection=true&tls=true&tlsCAFile={certificates / ca}"
            return MongoSettings(
                _env_file=None, nats_password="unused", mongo_url=url, mongo_password=stack.mongo_password()
            )

        async with mongo.connect(settings("cert.pem"), "trial") as store:
            assert await store.database.command("ping")
        url = settings("stranger.pem").mongo_url
        async with AsyncMongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=1000) as client:
            with pytest.raises(ServerSelectionTimeoutError, match="certificate verify failed"):
                await client.admin.command("ping")
