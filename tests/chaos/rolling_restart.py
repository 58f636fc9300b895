"""A rolling restart under load, with two processes of everything: no request fails.

python -m tests.chaos.rolling_restart
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from infra.ops.devstack.port_allocation import edge_processes, service_processes
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings
from tests.chaos.checkout_clients import CheckoutClients, checkout_clients

CUSTOMERS = 64
WORKERS = 6
PAUSE_SECONDS = 0.3
"""Time between two restarts."""
WARNING_MARKS = ('"WARNING"', '"ERROR"', "[error]")
"""Marks of the lines in which a service, the edge or Nginx tells that something went wrong."""


@dataclass(frozen=True)
class RollingRestartResult:
    """What customers saw during the restarts."""

    restarted: int
    seconds: float
    requests: int
    failed: Counter[str]
    """Failed requests by kind, including those without a connection."""
    placed: int
    unpaid: int
    duplicated: int

    @property
    def meets_goals(self) -> bool:
        return not self.failed and not self.unpaid and not self.duplicated

    def __str__(self) -> str:
        kinds = ", ".join(f"{name}: {count}" for name, count in self.failed.items()) or "none"
        return (
            f"{self.restarted} processes restarted in {self.seconds:.0f} s under {self.requests} requests: failed "
            f"{kinds}; {self.placed} orders placed, {self.unpaid} unpaid, {self.duplicated} placed twice from one cart"
        )


async def measure_rolling_restart(
    stack: Stack, *, workers: int = WORKERS, only: Collection[str] = ()
) -> RollingRestartResult:
    """Needs two processes of each restarted service; `only` restarts some services, or `edge`."""
    processes = {**dict.fromkeys(edge_processes(stack.settings), "edge"), **service_processes(stack.settings)}
    names = [name for name, service in processes.items() if not only or service in only]
    async with checkout_clients(stack, CUSTOMERS) as clients:
        over, started_at = asyncio.Event(), time.monotonic()
        customers = [asyncio.create_task(_customer(clients, over)) for _ in range(workers)]
        for name in names:
            await stack.restart(name)
            await asyncio.sleep(PAUSE_SECONDS)
        over.set()
        await asyncio.gather(*customers)
        seconds = time.monotonic() - started_at
        unpaid = await _unpaid(clients)
    failed = Counter({name: count for name, count in clients.outcomes.items() if name.split()[1] not in ("200", "201")})
    doubled = len(clients.placed) - len(set(clients.placed))
    return RollingRestartResult(
        len(names), seconds, clients.outcomes.total(), failed, len(clients.placed), unpaid, doubled
    )


def read_warnings(stack: Stack) -> str:
    """The warnings in the logs: they tell which process refused a request, and why."""
    return "\n".join(
        f"{name}: {line}"
        for name in (*edge_processes(stack.settings), *service_processes(stack.settings), "nginx")
        for line in stack.data_dir.log_file(name).read_text(errors="replace").splitlines()
        if any(mark in line for mark in WARNING_MARKS)
    )


async def _customer(clients: CheckoutClients, over: asyncio.Event) -> None:
    while not over.is_set():
        await clients.check_out()


async def _unpaid(clients: CheckoutClients) -> int:
    until = time.monotonic() + 15
    while (missing := set(clients.placed) - clients.paid) and time.monotonic() < until:  # noqa: ASYNC110 - heard in another task
        await asyncio.sleep(0.05)
    return len(missing)


if __name__ == "__main__":
    from tests.chaos.isolated_measurement import run_isolated

    async def main(options: StackSettings) -> None:
        async with Stack(options.model_copy(update={"processes": 2, "edge_processes": 2})).running() as stack:
            sys.stdout.write(f"{await measure_rolling_restart(stack)}\n")

    run_isolated(main)
