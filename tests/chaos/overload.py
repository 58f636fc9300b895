"""Three times more customers than the shop can serve: it serves nearly as many as ever, and none of them late.

First as many check out as the shop can serve, each waiting until the order is paid before the next: that is the peak.
Then checkouts begin at three times that rate whatever becomes of them, as they do when a shop is in the news.

    python -m tests.chaos.overload
"""

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import Options
from tests.chaos.checkout_clients import CheckoutClients, checkout_clients

CUSTOMERS = 1200
PEAK_WORKERS = 48
"""Customers of the closed loop."""
OVERLOAD_FACTOR = 3.0
MIN_GOODPUT_SHARE, MAX_P99_SECONDS = 0.8, 2.0
"""What is promised: the share of the peak, and the seconds of the 99th percentile of what is accepted."""
WARM_UP_SECONDS = 2.0


@dataclass(frozen=True)
class OverloadResult:
    """Rates are orders that were paid, a second."""

    peak: float
    offered: float
    goodput: float
    placed: float
    p50: float
    p99: float
    """Seconds, of what was accepted."""
    refused: float
    """Seconds of the 99th percentile of refusals."""
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
    """Measures on a running stack; it is idle again afterwards."""
    async with checkout_clients(stack, customers) as crowd:
        peak = await _peak(crowd, seconds / 2)
        crowd.reset()
        offered, goodput, placed = await _flood(crowd, peak * OVERLOAD_FACTOR, seconds)
        await _until_paid(crowd)
        return OverloadResult(
            peak,
            offered,
            goodput,
            placed,
            _percentile(crowd.response_seconds, 0.5),
            _percentile(crowd.response_seconds, 0.99),
            _percentile(crowd.refusal_seconds, 0.99),
            Counter(crowd.outcomes),
        )


async def _peak(crowd: CheckoutClients, seconds: float) -> float:
    begin = time.monotonic() + WARM_UP_SECONDS
    end = begin + seconds

    async def customer() -> None:
        while time.monotonic() < end:
            if await crowd.check_out():
                order_id = crowd.placed[-1]
                while order_id not in crowd.paid and time.monotonic() < end:  # noqa: ASYNC110 - heard in another task
                    await asyncio.sleep(0.01)

    async def counted() -> int:
        await asyncio.sleep(begin - time.monotonic())
        before = len(crowd.paid)
        await asyncio.sleep(end - time.monotonic())
        return len(crowd.paid) - before

    counting = asyncio.create_task(counted())
    await asyncio.gather(*(customer() for _ in range(PEAK_WORKERS)))
    found = await counting
    await _until_paid(crowd)
    return found / seconds


async def _flood(crowd: CheckoutClients, rate: float, seconds: float) -> tuple[float, float, float]:
    """Rates of what was offered, paid and placed, once the first have had the time to be paid."""
    tasks: set[asyncio.Task[bool]] = set()
    begin, offered, before = time.monotonic(), 0, (0.0, 0, 0)
    while (passed := time.monotonic() - begin) < WARM_UP_SECONDS + seconds:
        if passed > WARM_UP_SECONDS and not before[0]:
            before = (passed, len(crowd.paid), len(crowd.placed))
        for _ in range(int(passed * rate) - offered):
            tasks.add(task := asyncio.create_task(crowd.check_out()))
            task.add_done_callback(tasks.discard)
            offered += 1
        await asyncio.sleep(0.01)
    counted = passed - before[0]
    paid, placed = len(crowd.paid) - before[1], len(crowd.placed) - before[2]
    await asyncio.gather(*tasks)
    return offered / passed, paid / counted, placed / counted


async def _until_paid(crowd: CheckoutClients) -> None:
    async with asyncio.timeout(60):
        while set(crowd.placed) - crowd.paid:  # noqa: ASYNC110 - heard in another task
            await asyncio.sleep(0.1)


def _percentile(seconds: list[float], share: float) -> float:
    ordered = sorted(seconds)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


if __name__ == "__main__":
    from tests.chaos.isolated_stack import run_isolated

    async def main(options: Options) -> None:
        async with Stack(options).running() as stack:
            sys.stdout.write(f"{await measure_overload(stack)}\n")

    run_isolated(main)
