"""Overload: three times more customers than the shop can serve. It serves nearly its peak, all in time.

First a closed loop of customers measures the peak: each waits for the payment of an order before the next order. Then
checkouts begin at three times that rate, whatever becomes of the earlier ones.

    python -m tests.chaos.overload
"""

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings
from tests.chaos.checkout_clients import CheckoutClients, checkout_clients

CUSTOMERS = 1200
PEAK_WORKERS = 48
"""The customers of the closed loop."""
OVERLOAD_FACTOR = 3.0
MIN_GOODPUT_SHARE, MAX_P99_SECONDS = 0.8, 2.0
"""The goals: the share of the peak, and the 99th percentile of accepted requests in seconds."""
WARM_UP_SECONDS = 2.0


@dataclass(frozen=True)
class OverloadResult:
    """The result. Rates are paid orders per second."""

    peak: float
    offered: float
    goodput: float
    placed: float
    p50: float
    p99: float
    """Seconds, of accepted requests."""
    refused: float
    """The 99th percentile of refusals, in seconds."""
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def ratio(self) -> float:
        return self.goodput / self.peak if self.peak else 0.0

    @property
    def meets_goals(self) -> bool:
        return self.ratio >= MIN_GOODPUT_SHARE and self.p99 < MAX_P99_SECONDS

    def __str__(self) -> str:
        kinds = ", ".join(f"{name}: {count}" for name, count in self.outcomes.most_common())
        return (
            f"peak {self.peak:.0f} paid orders/s; offered {self.offered:.0f}/s: {self.goodput:.0f}/s paid "
            f"({self.ratio:.0%} of the peak), {self.placed:.0f}/s placed; accepted p50 {self.p50 * 1000:.0f} ms, "
            f"p99 {self.p99 * 1000:.0f} ms; refused p99 {self.refused * 1000:.0f} ms ({kinds})"
        )


async def measure_overload(stack: Stack, *, seconds: float = 12.0, customers: int = CUSTOMERS) -> OverloadResult:
    """Measures a running stack, and returns when it is idle again."""
    async with checkout_clients(stack, customers) as clients:
        peak = await _peak(clients, seconds / 2)
        clients.reset()
        offered, goodput, placed = await _flood(clients, peak * OVERLOAD_FACTOR, seconds)
        await _until_paid(clients)
        return OverloadResult(
            peak,
            offered,
            goodput,
            placed,
            _percentile(clients.response_seconds, 0.5),
            _percentile(clients.response_seconds, 0.99),
            _percentile(clients.refusal_seconds, 0.99),
            Counter(clients.outcomes),
        )


async def _peak(clients: CheckoutClients, seconds: float) -> float:
    begin = time.monotonic() + WARM_UP_SECONDS
    end = begin + seconds

    async def customer() -> None:
        while time.monotonic() < end:
            if await clients.check_out():
                order_id = clients.placed[-1]
                while order_id not in clients.paid and time.monotonic() < end:  # noqa: ASYNC110 - heard in another task
                    await asyncio.sleep(0.01)

    async def counted() -> int:
        await asyncio.sleep(begin - time.monotonic())
        before = len(clients.paid)
        await asyncio.sleep(end - time.monotonic())
        return len(clients.paid) - before

    counting = asyncio.create_task(counted())
    await asyncio.gather(*(customer() for _ in range(PEAK_WORKERS)))
    found = await counting
    await _until_paid(clients)
    return found / seconds


async def _flood(clients: CheckoutClients, rate: float, seconds: float) -> tuple[float, float, float]:
    """The rates of offered, paid and placed checkouts, after the first ones have had time to be paid."""
    tasks: set[asyncio.Task[bool]] = set()
    begin, offered, before = time.monotonic(), 0, (0.0, 0, 0)
    while (passed := time.monotonic() - begin) < WARM_UP_SECONDS + seconds:
        if passed > WARM_UP_SECONDS and not before[0]:
            before = (passed, len(clients.paid), len(clients.placed))
        for _ in range(int(passed * rate) - offered):
            tasks.add(task := asyncio.create_task(clients.check_out()))
            task.add_done_callback(tasks.discard)
            offered += 1
        await asyncio.sleep(0.01)
    counted = passed - before[0]
    paid, placed = len(clients.paid) - before[1], len(clients.placed) - before[2]
    await asyncio.gather(*tasks)
    return offered / passed, paid / counted, placed / counted


async def _until_paid(clients: CheckoutClients) -> None:
    async with asyncio.timeout(60):
        while set(clients.placed) - clients.paid:  # noqa: ASYNC110 - heard in another task
            await asyncio.sleep(0.1)


def _percentile(seconds: list[float], share: float) -> float:
    ordered = sorted(seconds)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


if __name__ == "__main__":
    from tests.chaos.isolated_measurement import run_isolated

    async def main(options: StackSettings) -> None:
        async with Stack(options).running() as stack:
            sys.stdout.write(f"{await measure_overload(stack)}\n")

    run_isolated(main)
