"""In-process signals between handlers and workers, so that neither has to poll the database."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID


class WorkSignal:
    """Tells a worker of the same process that new work is due. Without a worker it does nothing."""

    def __init__(self) -> None:
        self._wake: Callable[[], None] = lambda: None

    def connect(self, wake: Callable[[], None]) -> None:
        """Sets what `notify` calls."""
        self._wake = wake

    def notify(self) -> None:
        """Wakes the worker."""
        self._wake()


class Completions:
    """Lets a request wait until a worker of the same process has settled a payment or a refund."""

    def __init__(self) -> None:
        self._events: defaultdict[UUID, list[asyncio.Event]] = defaultdict(list)

    @contextmanager
    def expect(self, resource_id: UUID) -> Iterator["CompletionWaiter"]:
        """Registers a waiter for a payment or refund. Open it before the work is committed, so no signal is missed."""
        event = asyncio.Event()
        self._events[resource_id].append(event)
        try:
            yield CompletionWaiter(event)
        finally:
            self._events[resource_id].remove(event)
            if not self._events[resource_id]:
                del self._events[resource_id]

    def notifier(self, resource_id: UUID) -> Callable[[], None]:
        """Returns the function to call once the outcome is committed."""
        return lambda: self._notify(resource_id)

    def _notify(self, resource_id: UUID) -> None:
        for event in self._events.get(resource_id, ()):
            event.set()


class CompletionWaiter:
    """Waits for one payment or refund."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    async def wait(self, timeout_seconds: float) -> None:
        """Returns when the outcome is committed, or after the timeout."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        except TimeoutError:
            pass
