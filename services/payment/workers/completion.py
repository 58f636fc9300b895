"""Lets an ask wait for what the workers of its own process settle, without polling the database."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID


class Outcomes:
    """Payments and refunds, by id, whose outcome somebody here waits for."""

    def __init__(self) -> None:
        self._expected: defaultdict[UUID, list[asyncio.Event]] = defaultdict(list)

    @contextmanager
    def expect(self, thing_id: UUID) -> Iterator["Expected"]:
        """Opened before the work is made known, so that nothing is missed."""
        event = asyncio.Event()
        self._expected[thing_id].append(event)
        try:
            yield Expected(event)
        finally:
            self._expected[thing_id].remove(event)
            if not self._expected[thing_id]:
                del self._expected[thing_id]

    def telling(self, thing_id: UUID) -> Callable[[], None]:
        """What to call once the outcome is committed."""
        return lambda: self._tell(thing_id)

    def _tell(self, thing_id: UUID) -> None:
        for event in self._expected.get(thing_id, ()):
            event.set()


class Expected:
    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    async def wait(self, patience: float) -> None:
        """Returns when the outcome is there, or the patience is at its end."""
        try:
            async with asyncio.timeout(patience):
                await self._event.wait()
        except TimeoutError:
            pass
