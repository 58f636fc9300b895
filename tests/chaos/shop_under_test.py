"""The shop of a fault run: its stack, its settings, and its products and customers at the start."""

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
from infra.ops.devstack.stack_settings import StackSettings
from tests.chaos.background_traffic import PASSWORD, SEARCH_WORDS, CustomerJourneys
from tests.chaos.fault_schedule import StackShape
from tests.chaos.http_client import LoadHttpClient
from tests.chaos.load_generator import LoadGenerator
from tests.chaos.write_journal import WriteJournal
from tests.conftest import FREE_PORTS
from tests.support.rpc import RpcCaller

SKUS = 20
STOCK = 120
CUSTOMERS = 200
BUSY_STREAMS = ("ORDER", "PAYMENT")
"""Streams that get events all the time."""

DOUBLED_SERVICES = ("catalog", "order", "payment")
"""Services with two processes, which compete for leases, locks and events."""

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
"""Cheap password hashes, a slow gateway, and payments that expire within a run."""


def shop_options(data: Path, nats_nodes: int, env_of: Mapping[str, Mapping[str, str]], deadline: int) -> StackSettings:
    crash_folder = data.parent / "crashes"
    crash_folder.mkdir(exist_ok=True)
    return StackSettings(
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


def stack_shape(
    stack_settings: StackSettings, points: Sequence[str], often: Sequence[str], stores: Sequence[str]
) -> StackShape:
    """What can be attacked in the stack."""
    processes: dict[str, list[str]] = {}
    for process, service in service_processes(stack_settings).items():
        processes.setdefault(service, []).append(process)
    processes["edge"] = edge_processes(stack_settings)
    consumed = [(consumer.stream, service) for service in SUBSCRIPTIONS for consumer in consumers_for(service)]
    consumers = [f"{stream}.{service}" for stream, service in consumed if stream in BUSY_STREAMS]
    return StackShape(processes, stack_settings.nats_nodes, points, consumers, often, stores)


async def stock_shop(stack: Stack, operator: RpcCaller, rate: float, rng: random.Random) -> LoadGenerator:
    """Creates products, customers and an administrator."""
    load = LoadGenerator(LoadHttpClient(stack.http_url), WriteJournal(), rng, rate)
    email = f"admin-{uuid4().hex}@example.com"
    await operator(user.MAKE_ADMIN, {"email": email, "password": PASSWORD})
    response = await load.http.send("POST", "/auth/login", {"email": email, "password": PASSWORD})
    load.admin = response.json["access_token"]
    for number in range(SKUS):
        await _product(load, number)
    for uses in (None, 10, 10):
        await _coupon(load, uses)
    for amount in (10**9, 10_000, 10_000):
        await _gift_card(load, amount)
    errands = CustomerJourneys(load)
    for _ in range(0, CUSTOMERS, 8):
        await asyncio.gather(*(errands.register() for _ in range(8)))
    return load


async def _coupon(load: LoadGenerator, max_uses: int | None) -> None:
    body = {"code": f"FAULT-{uuid4().hex}", "kind": "percent", "value": 10, "max_uses": max_uses}
    response = await load.http.send("POST", "/coupons", body, token=load.admin, key=uuid4().hex, timeout_seconds=20)
    assert response.status == 201, response.body
    load.coupons.append(body["code"])


async def _gift_card(load: LoadGenerator, amount: int) -> None:
    body = {"amount": {"amount": amount, "currency": "USD"}}
    response = await load.http.send("POST", "/gift-cards", body, token=load.admin, key=uuid4().hex, timeout_seconds=20)
    assert response.status == 201, response.body
    load.gift_cards.append(response.json["code"])


async def _product(load: LoadGenerator, number: int) -> None:
    sku = f"FAULT-{number:02}-{uuid4().hex[:8]}"
    body = {
        "name": f"{SEARCH_WORDS[number % len(SEARCH_WORDS)].title()} piece {number}",
        "sku": sku,
        "price": {"amount": 500 + 100 * number, "currency": "USD"},
        "stock": STOCK,
    }
    response = await load.http.send("POST", "/products", body, token=load.admin, key=uuid4().hex, timeout_seconds=20)
    assert response.status == 201, response.body
    load.skus.append(sku)
    load.slugs.append(response.json["slug"])
    load.products.append(response.json["id"])
