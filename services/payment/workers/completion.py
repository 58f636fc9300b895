"""Lets an ask wait for what the workers of its own process settle, without polling the database."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID


class Completions:
    """Payments and refunds, by id, whose outcome somebody here waits for."""

    def __init__(self) -> None:
        self._expected: defaultdict[UUID, list[asyncio.Event]] = defaultdict(list)

    @contextmanager
    def expect(self, resource_id: UUID) -> Iterator["CompletionWaiter"]:
        """Opened before the work is made known, so that nothing is missed."""
        event = asyncio.Event()
        self._expected[resource_id].append(event)
        try:
            yield CompletionWaiter(event)
        finally:
            self._expected[resource_id].remove(event)
            if not self._expected[resource_id]:
                del self._expected[resource_id]

    def notifier(self, resource_id: UUID) -> Callable[[], None]:
        """What to call once the outcome is committed."""
        return lambda: self._tell(resource_id)

    def _tell(self, thing_id: UUID) -> None:
        for event in self._expected.get(thing_id, ()):
            event.set()


class CompletionWaiter:
    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    async def wait(self, timeout_seconds: float) -> None:
        """Returns when the outcome is there, or the patience is at its end."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        except TimeoutError:
            pass
