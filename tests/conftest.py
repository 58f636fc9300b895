"""Fixtures of all tests: one real stack per session, with every server, six services, the edge and Nginx.

The stack listens on free ports. Nothing is cleaned up between tests: each uses its own customers, SKUs and orders.
"""

import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from hypothesis import settings

from contracts import catalog, user
from contracts.catalog import Product
from contracts.identity import Identity
from contracts.notification import NotificationKind
from infra.foundation.ids import new_id
from infra.messaging import connection as messaging
from infra.ops.devstack.free_ports import PortPicker
from infra.ops.devstack.mail_files import ReceivedMail, list_mails
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings
from services.notification.domain.mails import SUBJECT_LINES
from tests.support.damaged_coverage_files import remove_damaged_coverage_files
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually as _eventually
from tests.support.http import HttpClient, RegisteredCustomer, register_customer
from tests.support.rpc import RpcCaller, admin_identity, customer_identity
from tests.support.server_folders import server_folder
from tests.support.trace_collector import TraceCollector, trace_collector

settings.register_profile("souk", deadline=None)  # how long an example takes depends on what else the machine does
settings.load_profile("souk")

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
ADMIN_PASSWORD = "open sesame"
"""The password of `admin_http`."""
FAST_SETTINGS = {
    "SOUK_BCRYPT_COST": "4",
    "SOUK_ERASE_WAIT": "0.5",
    "SOUK_LOG_LEVEL": "INFO",
    "SOUK_SIMULATOR_LATE": "0.6",
    "SOUK_GATEWAY_TIMEOUT": "0.3",
    "SOUK_MAIL_RATE": "500",
    "SOUK_EDGE_LATENCY_TARGET": "5",
    "OTEL_BSP_SCHEDULE_DELAY": "500",
}

PLANTED_VARIABLES = {
    "SOUK_ADMIN_PASSWORD": "planted-password-of-the-administrator",
    "SOUK_NATS_PASSWORD": "planted-password-of-another-shop",
    "SOUK_SMTP_PASSWORD": "planted-password-of-the-mail-server",
    "AWS_SECRET_ACCESS_KEY": "planted-key-of-another-program",
}
"""In the environment while the stack starts. `e2e/test_secrets.py` looks for them in that of every process."""


LONG_FILES = (
    "chaos/test_failpoints.py",
    "chaos/test_short_run.py",
    "fuzz/test_fuzz.py",
    "e2e/test_rolling_restart.py",
    "infra/ops/deploy/test_dockerfile.py",
    "infra/database/test_query_plans.py",
    "infra/ops/verify/test_verify.py",
    "e2e/test_size_limits.py",
    "infra/ops/devstack/test_nats_cluster.py",
    "infra/ops/devstack/test_up.py",
)
"""The files that take longest, longest first. Parallel test processes begin with them, so that none runs last alone."""


def pytest_configure() -> None:
    """Lets the processes that tests start keep what they compile, even where this process may not: hundreds start."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves long files to the front and keeps the order of all others."""
    rank = {str(Path(__file__).parent / name): number for number, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: rank.get(str(item.path), len(rank)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Pauses garbage collection: next to nothing of what the collection makes is garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Has the garbage collector leave out what the collection made: quick tests take a quarter less of CPU."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, Any, Any]:
    """Before pytest-cov combines the data of all processes, removes what a killed process left half written."""
    result = yield
    if session.config.getoption("cov_source", None) and not hasattr(session.config, "workerinput"):
        remove_damaged_coverage_files(session.config.rootpath)
    return result


@pytest.fixture(scope="session")
def data_folder() -> Iterator[Path]:
    """Outside pytest's own folders, which other users may not enter."""
    with server_folder() as folder:
        yield folder


@pytest.fixture
def ports() -> Iterator[PortPicker]:
    """Reserves ports until the end of the test."""
    with PortPicker() as picker:
        yield picker


@pytest.fixture(scope="session")
def stack_spans() -> Iterator[TraceCollector]:
    """What the processes of the stack record: only requests with a sampled `traceparent`, as the edge samples none."""
    with trace_collector() as collector:
        yield collector


@pytest.fixture(scope="session")
async def stack(data_folder: Path, stack_spans: TraceCollector) -> AsyncIterator[Stack]:
    """The running stack."""
    options = StackSettings(
        _env_file=None,
        data=data_folder / "shop",
        nginx_limits=False,
        seed=False,
        process_env={**FAST_SETTINGS, "SOUK_OTLP_ENDPOINT": stack_spans.endpoint, "SOUK_EDGE_SAMPLE": "0"},
        **FREE_PORTS,
    )
    async with AsyncExitStack() as opened:
        with pytest.MonkeyPatch.context() as environment:
            for name, value in PLANTED_VARIABLES.items():
                environment.setenv(name, value)
            running = await opened.enter_async_context(Stack(options).running())
        yield running


@pytest.fixture(scope="session")
async def connections(stack: Stack) -> AsyncIterator[AsyncExitStack]:
    """Closes what session fixtures open, at the end of the session while the servers still run."""
    async with AsyncExitStack() as exit_stack:
        yield exit_stack


@pytest.fixture(scope="session")
async def as_service(stack: Stack, connections: AsyncExitStack) -> Callable[[str], Awaitable[RpcCaller]]:
    """Returns a caller with the NATS rights of a service, of `edge`, or of `operator`."""
    callers: dict[str, RpcCaller] = {}

    async def caller_for(name: str) -> RpcCaller:
        if name not in callers:
            connecting = messaging.connect(stack.nats_url, name, stack.nats_password(name))
            callers[name] = RpcCaller(await connections.enter_async_context(connecting))
        return callers[name]

    return caller_for


@pytest.fixture(scope="session")
async def rpc(as_service: Callable[[str], Awaitable[RpcCaller]]) -> RpcCaller:
    """Sends requests with the rights of the edge."""
    return await as_service("edge")


@pytest.fixture(scope="session")
async def operator(as_service: Callable[[str], Awaitable[RpcCaller]]) -> RpcCaller:
    """Sends requests with the rights of the operator."""
    return await as_service("operator")


@pytest.fixture(scope="session")
async def events(operator: RpcCaller) -> EventRecorder:
    """Records every event of the session."""
    recorder = EventRecorder()
    await recorder.start(operator.client)
    return recorder


@pytest.fixture(scope="session")
async def database(stack: Stack, connections: AsyncExitStack) -> Callable[[str], Awaitable[asyncpg.Connection]]:
    """Returns a connection to a service's database with the rights of that service."""
    opened: dict[str, asyncpg.Connection] = {}

    async def connection_to(service: str) -> asyncpg.Connection:
        if service not in opened:
            opened[service] = await asyncpg.connect(stack.dsn(service))
            connections.push_async_callback(opened[service].close)
        return opened[service]

    return connection_to


@pytest.fixture(scope="session")
async def mongo(stack: Stack, connections: AsyncExitStack) -> Any:
    """The cart's MongoDB database."""
    from motor.motor_asyncio import AsyncIOMotorClient  # noqa: PLC0415 - only where a test asks for it

    client: Any = AsyncIOMotorClient(
        stack.cart_url(),
        username="souk_cart",
        password=stack.cart_mongo_password(),
        authSource="souk_cart",
        tz_aware=True,
    )
    connections.callback(client.close)
    return client["souk_cart"]


@pytest.fixture(scope="session")
async def http(stack: Stack, connections: AsyncExitStack) -> HttpClient:
    """An anonymous HTTP client, through Nginx."""
    connector = aiohttp.TCPConnector(limit=0)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    return HttpClient(await connections.enter_async_context(session), stack.http_url)


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Awaitable[Any]]:
    """Waits for a condition."""
    return _eventually


@pytest.fixture(scope="session")
def mails(stack: Stack) -> Callable[[str], list[ReceivedMail]]:
    """Returns the mails to an address, except the one that verifies the address of a new account."""
    verification = SUBJECT_LINES[NotificationKind.VERIFY_EMAIL]
    return lambda to: [mail for mail in list_mails(stack.data_dir.mail_dir, to=to) if mail.subject != verification]


@pytest.fixture(scope="session")
def admin() -> Identity:
    """An administrator's identity, for requests over NATS."""
    return admin_identity()


@pytest.fixture
async def admin_http(operator: RpcCaller, http: HttpClient) -> HttpClient:
    """An administrator who has just logged in: an access token lasts for less than a whole test session."""
    credentials = {"email": f"admin-{new_id().hex}@example.com", "password": ADMIN_PASSWORD}
    await operator(user.MAKE_ADMIN, credentials)
    response = await http.post("/auth/login", credentials)
    assert response.status == 200, response.body
    return http.with_token(response.json["access_token"])


@pytest.fixture
async def customer(http: HttpClient) -> RegisteredCustomer:
    """A new customer, logged in over HTTP."""
    return await register_customer(http)


@pytest.fixture
def new_customer() -> Callable[[], Identity]:
    """Creates identities of new customers, for requests over NATS."""
    return customer_identity


@pytest.fixture(scope="session")
def new_product(rpc: RpcCaller, admin: Identity) -> Callable[..., Awaitable[Product]]:
    """Creates products with one variant and a new SKU."""

    async def create(*, stock: int = 10, price: int = 1999, **more: Any) -> Product:
        body = {
            "name": "Brass lamp",
            "sku": f"T-{new_id().hex}",
            "price": {"amount": price, "currency": "USD"},
            "stock": stock,
            **more,
        }
        product: Product = await rpc(catalog.CREATE_PRODUCT, body, identity=admin)
        return product

    return create
