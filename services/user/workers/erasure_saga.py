"""The saga of an erasure: every service is asked until it has erased what it holds on somebody, user last.

It begins when nothing that the person began before can still be at work: every edge knows that the sessions have ended,
and the longest request since is over. So an order that was placed in the last moment is erased as all others are. From
the first moment on nobody can sign in, and where a mail would go is not told any more: what is heard late is not sent.

Each step is noted before the next one, and each may be done twice: a process that dies leaves the rest to the next.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from contracts import privacy, user
from contracts.failure import Fail
from contracts.privacy import ERASE, GUEST_ORDERS, KEEPERS, MOST_ORDERS, ErasePerson, GuestOrdersOf
from infra.database.audit_log import BY_SERVICE
from infra.database.postgres import Database
from infra.foundation.failpoints import crash_point
from infra.messaging.rpc import Asker
from infra.messaging.topology import ENDED
from services.user.domain import accounts as domain
from services.user.store import erasures
from services.user.store.erasures import Erasure, Person

LEASE = 2.0
"""Seconds within which the next step is noted, or another process does it too: that does no harm."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0

log = logging.getLogger("souk.user")


@dataclass(frozen=True)
class Eraser:
    db: Database
    asker: Asker
    pepper: bytes = field(repr=False)
    wait: float
    """Seconds after which nothing can be at work any more that was begun in a session that has ended."""

    async def work(self) -> bool:
        """Goes on with one erasure as far as it can; whether there may be more."""
        async with self.db.connection() as connection:
            found = await erasures.claim(connection, wait=self.wait, board=ENDED.seconds, lease=LEASE)
        if found is None:
            return False
        try:
            await self._erase_elsewhere(found)
            await self._erase_here(found)
        except Fail as fail:
            await self._put_off(found, fail)
        return True

    async def _put_off(self, found: Erasure, fail: Fail) -> None:
        """A service that does not answer is asked again, later each time."""
        pause = min(FIRST_PAUSE * 2.0 ** min(found.tries, 10), LONGEST_PAUSE)
        log.warning("an erasure waits: %s", fail.code, extra={"fields": {"user_id": str(found.account_id)}})
        async with self.db.connection() as connection:
            await erasures.put_off(connection, found.digest, pause)

    async def _erase_elsewhere(self, found: Erasure) -> None:
        orders = found.orders if found.orders is not None else await self._gather(found)
        for service in KEEPERS:
            if service not in found.services:
                for some in pieces(orders):
                    await self._ask(service, ErasePerson(user_id=found.account_id, order_ids=some))
                crash_point("erasing.done_elsewhere")
                async with self.db.connection() as connection:
                    await erasures.note(connection, found.digest, service, LEASE)
                crash_point("erasing.noted")

    async def _ask(self, service: str, wanted: ErasePerson) -> None:
        while (await self.asker.ask(ERASE[service], wanted)).more:
            pass

    async def _gather(self, found: Erasure) -> list[UUID]:
        """The orders that the person placed as a guest. An e-mail that nobody has verified may be somebody else's."""
        async with self.db.connection() as connection:
            person = await erasures.person(connection, found.account_id)
        orders: list[UUID] = []
        emails = spellings(person) if person is not None and person.email_verified else []
        while emails:
            wanted = GuestOrdersOf(emails=emails, after=orders[-1] if orders else None)
            more = (await self.asker.ask(GUEST_ORDERS, wanted)).order_ids
            orders += more
            if not more:
                break
        async with self.db.connection() as connection:
            await erasures.keep_orders(connection, found.digest, orders, LEASE)
        crash_point("erasing.gathered")
        return orders

    async def _erase_here(self, found: Erasure) -> None:
        """The account goes last, for its e-mail is what the others are found by. From here on it is free again."""
        async with self.db.connection() as connection:
            person = await erasures.person(connection, found.account_id)
        if person is not None:
            await self._forget(found.account_id, person)
        async with self.db.transaction() as tx:
            await erasures.remove(tx.connection, found.account_id)
            if await erasures.end(tx.connection, found.digest, user.SERVICE):
                tx.say(user.Erased(user_id=found.account_id))
                tx.note("user.erased", BY_SERVICE, subject=found.account_id)
            tx.afterwards(lambda: crash_point("erasing.ended"))

    async def _forget(self, account_id: UUID, person: Person) -> None:
        """What is kept beside the account: answers about it, and what was counted of its e-mail."""
        await self.db.forget(account_id, [str(account_id), person.email, person.email_key])
        attempt = domain.attempt(person.email, "", self.pepper)
        async with self.db.connection() as connection:
            await erasures.forget_attempts(connection, attempt.account, person.email_key)
        crash_point("erasing.forgotten")


def spellings(person: Person) -> list[str]:
    """How a guest may have said the e-mail."""
    return sorted({person.email.lower(), person.email_key})


def pieces(orders: Sequence[UUID]) -> Iterator[list[UUID]]:
    """At least one, which may be empty."""
    for start in range(0, max(len(orders), 1), MOST_ORDERS):
        yield list(orders[start : start + MOST_ORDERS])


assert privacy.LEADER == user.SERVICE, "who leads is who is allowed to ask"
