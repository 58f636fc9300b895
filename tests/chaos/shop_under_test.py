"""The shop that is to suffer: its shape, its settings, and what is on its shelves when the first customer comes."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

from contracts import user
from contracts.registry import SUBSCRIPTIONS
from infra.messaging.topology import consumers_for
from infra.ops.devstack.port_allocation import edge_processes, service_processes
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import Options
from tests.chaos.fault_schedule import StackShape
from tests.chaos.http_client import LoadHttpClient
from tests.chaos.journeys import PASSWORD, SEARCH_WORDS, CustomerJourneys
from tests.chaos.load_generator import LoadGenerator
from tests.chaos.write_journal import WriteJournal
from tests.conftest import FREE_PORTS
from tests.support.rpc import RpcCaller

SKUS = 20
STOCK = 120
CUSTOMERS = 200
BUSY_STREAMS = ("ORDER", "PAYMENT")
"""Streams in which something is stored at any moment."""

DOUBLED_SERVICES = ("catalog", "order", "payment")
"""Services with two processes, which take leases, locks and events from one another."""

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "SOUK_BCRYPT_COST": "4",
        "SOUK_ERASE_WAIT": "2",
        "SOUK_LOG_LEVEL": "WARNING",
        "SOUK_SIMULATOR_LATE": "0.6",
        "SOUK_GATEWAY_TIMEOUT": "0.3",
        "SOUK_CHARGE_DEADLINE": "12",
        "SOUK_MAIL_RATE": "100",
        "SOUK_LOGIN_FAILURES": "100000",
        "SOUK_LOGIN_FAILURES_OF_ADDRESS": "100000",
    }
)
"""Passwords that cost little, a gateway that is late at once, payments that are given up within a run."""


def shop_options(data: Path, nats_nodes: int, env_of: Mapping[str, Mapping[str, str]], deadline: int) -> Options:
    crash_folder = data.parent / "crashes"
    crash_folder.mkdir(exist_ok=True)
    return Options(
        _env_file=None,
        data=data,
        nats_nodes=nats_nodes,
        nginx_limits=False,
        seed=False,
        processes_of=dict.fromkeys(DOUBLED_SERVICES, 2),
        process_env={**SETTINGS, "SOUK_UNPAID_SECONDS": str(deadline), "SOUK_HOLD_MARGIN_SECONDS": str(deadline)},
        env_of=env_of,
        crash_folder=crash_folder,
        **FREE_PORTS,
    )


def stack_shape(given: Options, points: Sequence[str], often: Sequence[str], stores: Sequence[str]) -> StackShape:
    """What of it can go wrong."""
    processes: dict[str, list[str]] = {}
    for process, service in service_processes(given).items():
        processes.setdefault(service, []).append(process)
    processes["edge"] = edge_processes(given)
    heard = [(consumer.stream, service) for service in SUBSCRIPTIONS for consumer in consumers_for(service)]
    consumers = [f"{stream}.{service}" for stream, service in heard if stream in BUSY_STREAMS]
    return StackShape(processes, given.nats_nodes, points, consumers, often, stores)


async def stock_shop(stack: Stack, operator: RpcCaller, rate: float, chance: random.Random) -> LoadGenerator:
    """Products on sale, customers signed in, an administrator at work."""
    load = LoadGenerator(LoadHttpClient(stack.http_url), WriteJournal(), chance, rate)
    email = f"admin-{uuid4().hex}@example.com"
    await operator(user.MAKE_ADMIN, {"email": email, "password": PASSWORD})
    answer = await load.http.send("POST", "/auth/login", {"email": email, "password": PASSWORD})
    load.admin = answer.json["access_token"]
    for number in range(SKUS):
        await _product(load, number)
    errands = CustomerJourneys(load)
    for _ in range(0, CUSTOMERS, 8):
        await asyncio.gather(*(errands.register() for _ in range(8)))
    return load


async def _product(load: LoadGenerator, number: int) -> None:
    sku = f"FAULT-{number:02}-{uuid4().hex[:8]}"
    body = {
        "name": f"{SEARCH_WORDS[number % len(SEARCH_WORDS)].title()} piece {number}",
        "sku": sku,
        "price": {"amount": 500 + 100 * number, "currency": "USD"},
        "stock": STOCK,
    }
    answer = await load.http.send("POST", "/products", body, token=load.admin, key=uuid4().hex, timeout_seconds=20)
    assert answer.status == 201, answer.body
    load.skus.append(sku)
    load.slugs.append(answer.json["slug"])
    load.products.append(answer.json["id"])
