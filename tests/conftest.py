"""One real stack a session: NATS, PostgreSQL, MongoDB, mail, six services, the edge and Nginx on free ports.

Nothing is cleaned up between tests: each works with customers, SKUs and orders of its own.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from contracts import catalog, user
from contracts.catalog import Product
from contracts.identity import Identity
from contracts.notification import NotificationKind
from infra.foundation.ids import new_id
from infra.messaging import connection as messaging
from infra.ops.devstack.mail_files import Mail
from infra.ops.devstack.mail_files import mails as kept_mails
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import Options
from services.notification.domain.deliveries import SUBJECT_LINES
from tests.support import rpc as asking
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually as _eventually
from tests.support.http import HttpClient, RegisteredCustomer, register_customer
from tests.support.rpc import RpcCaller

FREE_PORTS: dict[str, Any] = {
    "http_port": 0,
    "nats_port": 0,
    "nats_monitor_port": 0,
    "nats_route_port": 0,
    "postgres_port": 0,
    "mongo_port": 0,
    "smtp_port": 0,
    "edge_port": 0,
    "ops_port": 0,
}
FAST_SETTINGS = {
    "SOUK_BCRYPT_COST": "4",
    "SOUK_ERASE_WAIT": "0.5",
    "SOUK_LOG_LEVEL": "INFO",
    "SOUK_SIMULATOR_LATE": "0.6",
    "SOUK_GATEWAY_TIMEOUT": "0.3",
    "SOUK_MAIL_RATE": "500",
    "SOUK_EDGE_LATENCY_TARGET": "5",
}


@pytest.fixture(scope="session")
def data_folder() -> Iterator[Path]:
    """Not below pytest's own folders: PostgreSQL runs as another user when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="souk-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def stack(data_folder: Path) -> AsyncIterator[Stack]:
    options = Options(
        _env_file=None,
        data=data_folder / "shop",
        nginx_limits=False,
        seed=False,
        process_env=FAST_SETTINGS,
        **FREE_PORTS,
    )
    async with Stack(options).running() as running:
        yield running


@pytest.fixture(scope="session")
async def connections() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture(scope="session")
async def as_service(stack: Stack, connections: AsyncExitStack) -> Callable[[str], Awaitable[RpcCaller]]:
    """Asks with the NATS rights of a service, of `edge`, or of `operator`."""
    known: dict[str, RpcCaller] = {}

    async def of(name: str) -> RpcCaller:
        if name not in known:
            connecting = messaging.connect(stack.nats_url, name, stack.password(name))
            known[name] = RpcCaller(await connections.enter_async_context(connecting))
        return known[name]

    return of


@pytest.fixture(scope="session")
async def ask(as_service: Callable[[str], Awaitable[RpcCaller]]) -> RpcCaller:
    """Asks as the edge does."""
    return await as_service("edge")


@pytest.fixture(scope="session")
async def operator(as_service: Callable[[str], Awaitable[RpcCaller]]) -> RpcCaller:
    return await as_service("operator")


@pytest.fixture(scope="session")
async def events(operator: RpcCaller) -> EventRecorder:
    heard = EventRecorder()
    await heard.start(operator.client)
    return heard


@pytest.fixture(scope="session")
async def database(stack: Stack, connections: AsyncExitStack) -> Callable[[str], Awaitable[asyncpg.Connection]]:
    """A connection to a service's database, as that service."""
    known: dict[str, asyncpg.Connection] = {}

    async def of(service: str) -> asyncpg.Connection:
        if service not in known:
            known[service] = await asyncpg.connect(stack.dsn(service))
            connections.push_async_callback(known[service].close)
        return known[service]

    return of


@pytest.fixture(scope="session")
async def mongo(stack: Stack, connections: AsyncExitStack) -> Any:
    """The cart's database."""
    from motor.motor_asyncio import AsyncIOMotorClient  # noqa: PLC0415 - only where a test asks for it

    client: Any = AsyncIOMotorClient(
        stack.cart_url(), username="souk_cart", password=stack.mongo_password(), authSource="souk_cart", tz_aware=True
    )
    connections.callback(client.close)
    return client["souk_cart"]


@pytest.fixture(scope="session")
async def http(stack: Stack, connections: AsyncExitStack) -> HttpClient:
    connector = aiohttp.TCPConnector(limit=0)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    return HttpClient(await connections.enter_async_context(session), stack.http_url)


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Awaitable[Any]]:
    return _eventually


@pytest.fixture(scope="session")
def mails(stack: Stack) -> Callable[[str], list[Mail]]:
    """The mails that went to an address, save the one that greets whoever opens an account."""
    greeting = SUBJECT_LINES[NotificationKind.VERIFY_EMAIL]
    return lambda to: [mail for mail in kept_mails(stack.layout.mail, to=to) if mail.subject != greeting]


@pytest.fixture(scope="session")
def admin() -> Identity:
    """An administrator's identity, for asks."""
    return asking.admin_identity()


@pytest.fixture
async def admin_http(operator: RpcCaller, http: HttpClient) -> HttpClient:
    """An administrator, signed in over HTTP a moment ago: a token lasts for less than all tests may take."""
    email, password = f"admin-{new_id().hex}@example.com", "open sesame"
    await operator(user.MAKE_ADMIN, {"email": email, "password": password})
    answered = await http.post("/auth/login", {"email": email, "password": password})
    assert answered.status == 200, answered.body
    return http.with_token(answered.json["access_token"])


@pytest.fixture
async def customer(http: HttpClient) -> RegisteredCustomer:
    return await register_customer(http)


@pytest.fixture
def new_customer() -> Callable[[], Identity]:
    return asking.customer_identity


@pytest.fixture(scope="session")
def new_product(ask: RpcCaller, admin: Identity) -> Callable[..., Awaitable[Product]]:
    """Puts a product with one variant of its own SKU on sale."""

    async def create(*, stock: int = 10, price: int = 1999, **more: Any) -> Product:
        body = {
            "name": "Brass lamp",
            "sku": f"T-{new_id().hex}",
            "price": {"amount": price, "currency": "USD"},
            "stock": stock,
            **more,
        }
        product: Product = await ask(catalog.CREATE_PRODUCT, body, identity=admin)
        return product

    return create
