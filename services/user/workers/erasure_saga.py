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
from contracts.privacy import DATA_HOLDERS, ERASE, GUEST_ORDERS, MAX_GUEST_ORDERS, EraseUserData, GuestOrdersRequest
from infra.database.audit_log import SERVICE_ACTOR
from infra.database.postgres import Database
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc import RpcClient
from infra.messaging.topology import REVOKED_SESSIONS
from services.user.domain import accounts as domain
from services.user.store import erasures
from services.user.store.erasures import ErasureRecord, ErasureSubject

LEASE_SECONDS = 2.0
"""Seconds within which the next step is noted, or another process does it too: that does no harm."""
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 15.0

log = logging.getLogger("souk.user")


@dataclass(frozen=True)
class ErasureSaga:
    db: Database
    rpc: RpcClient
    pepper: bytes = field(repr=False)
    delay_seconds: float
    """Seconds after which nothing can be at work any more that was begun in a session that has ended."""

    async def run_next(self) -> bool:
        """Goes on with one erasure as far as it can; whether there may be more."""
        async with self.db.connection() as connection:
            found = await erasures.claim(
                connection,
                delay_seconds=self.delay_seconds,
                revocation_ttl_seconds=REVOKED_SESSIONS.ttl_seconds,
                lease_seconds=LEASE_SECONDS,
            )
        if found is None:
            return False
        try:
            await self._erase_elsewhere(found)
            await self._erase_here(found)
        except Fail as fail:
            await self._put_off(found, fail)
        return True

    async def _put_off(self, found: ErasureRecord, fail: Fail) -> None:
        """A service that does not answer is asked again, later each time."""
        pause = min(FIRST_RETRY_SECONDS * 2.0 ** min(found.tries, 10), MAX_RETRY_SECONDS)
        log.warning("an erasure waits: %s", fail.code, extra={"fields": {"user_id": str(found.account_id)}})
        async with self.db.connection() as connection:
            await erasures.postpone(connection, found.digest, pause)

    async def _erase_elsewhere(self, found: ErasureRecord) -> None:
        orders = found.orders if found.orders is not None else await self._gather(found)
        for service in DATA_HOLDERS:
            if service not in found.services:
                for some in batches(orders):
                    await self._ask(service, EraseUserData(user_id=found.account_id, order_ids=some))
                failpoint("erasing.done_elsewhere")
                async with self.db.connection() as connection:
                    await erasures.mark_service_done(connection, found.digest, service, LEASE_SECONDS)
                failpoint("erasing.noted")

    async def _ask(self, service: str, wanted: EraseUserData) -> None:
        while (await self.rpc.request(ERASE[service], wanted)).more:
            pass

    async def _gather(self, found: ErasureRecord) -> list[UUID]:
        """The orders that the person placed as a guest. An e-mail that nobody has verified may be somebody else's."""
        async with self.db.connection() as connection:
            person = await erasures.subject(connection, found.account_id)
        orders: list[UUID] = []
        emails = email_spellings(person) if person is not None and person.email_verified else []
        while emails:
            wanted = GuestOrdersRequest(emails=emails, after=orders[-1] if orders else None)
            more = (await self.rpc.request(GUEST_ORDERS, wanted)).order_ids
            orders += more
            if not more:
                break
        async with self.db.connection() as connection:
            await erasures.save_orders(connection, found.digest, orders, LEASE_SECONDS)
        failpoint("erasing.gathered")
        return orders

    async def _erase_here(self, found: ErasureRecord) -> None:
        """The account goes last, for its e-mail is what the others are found by. From here on it is free again."""
        async with self.db.connection() as connection:
            person = await erasures.subject(connection, found.account_id)
        if person is not None:
            await self._forget(found.account_id, person)
        async with self.db.transaction() as tx:
            await erasures.delete_account(tx.connection, found.account_id)
            if await erasures.finish(tx.connection, found.digest, user.SERVICE):
                tx.publish(user.UserErased(user_id=found.account_id))
                tx.audit("user.erased", SERVICE_ACTOR, subject=found.account_id)
            tx.on_commit(lambda: failpoint("erasing.ended"))

    async def _forget(self, account_id: UUID, person: ErasureSubject) -> None:
        """What is kept beside the account: answers about it, and what was counted of its e-mail."""
        await self.db.forget_replies(account_id, [str(account_id), person.email, person.email_key])
        attempt = domain.throttle_key(person.email, "", self.pepper)
        async with self.db.connection() as connection:
            await erasures.delete_counters(connection, attempt.account_digest, person.email_key)
        failpoint("erasing.forgotten")


def email_spellings(person: ErasureSubject) -> list[str]:
    """How a guest may have said the e-mail."""
    return sorted({person.email.lower(), person.email_key})


def batches(orders: Sequence[UUID]) -> Iterator[list[UUID]]:
    """At least one, which may be empty."""
    for start in range(0, max(len(orders), 1), MAX_GUEST_ORDERS):
        yield list(orders[start : start + MAX_GUEST_ORDERS])


assert privacy.COORDINATOR == user.SERVICE, "who leads is who is allowed to ask"
