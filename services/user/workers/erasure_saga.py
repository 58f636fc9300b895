"""The saga of an erasure: each service is asked until it has erased the customer's data, user itself last.

The account is closed at once: it can no longer sign in, and notification can no longer look up where a mail goes. The
saga starts later, when no request that the customer began can still be running: every edge knows that the sessions have
ended, and the longest request since then is over. An order placed at the last moment is therefore erased too.

Each step is recorded before the next one and can safely run twice, so another process can continue after a crash.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from contracts import privacy, user
from contracts.email_addresses import guest_order_spellings
from contracts.failure import Fail
from contracts.privacy import DATA_HOLDERS, ERASE, GUEST_ORDERS, MAX_GUEST_ORDERS, EraseUserData, GuestOrdersRequest
from infra.database.audit_log import SERVICE_ACTOR
from infra.database.postgres import Database
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import get_logger
from infra.messaging.rpc_client import RpcClient
from infra.messaging.topology import REVOKED_SESSIONS
from services.user.domain.attempt_limits import throttle_key
from services.user.store import erasures
from services.user.store.erasures import ErasureRecord, ErasureSubject

LEASE_SECONDS = 2.0
"""Seconds until another process may continue the erasure. Both may then run the same step, which does no harm."""
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 15.0

log = get_logger("souk.user")


@dataclass(frozen=True)
class ErasureSaga:
    """Runs erasures step by step."""

    db: Database
    rpc: RpcClient
    pepper: bytes = field(repr=False)
    delay_seconds: float
    """Seconds after which no request that was begun in an ended session can still be running."""

    async def run_next(self) -> bool:
        """Runs one due erasure as far as possible; returns whether there may be more."""
        async with self.db.connection() as connection:
            erasure = await erasures.claim(
                connection,
                delay_seconds=self.delay_seconds,
                revocation_ttl_seconds=REVOKED_SESSIONS.ttl_seconds,
                lease_seconds=LEASE_SECONDS,
            )
        if erasure is None:
            return False
        try:
            await self._erase_in_other_services(erasure)
            await self._erase_account(erasure)
        except Fail as fail:
            await self._postpone(erasure, fail)
        return True

    async def _postpone(self, erasure: ErasureRecord, fail: Fail) -> None:
        """Retries later, with a growing delay: a service did not erase its data."""
        delay_seconds = min(FIRST_RETRY_SECONDS * 2.0 ** min(erasure.tries, 10), MAX_RETRY_SECONDS)
        log.warning("erasure postponed: %s", fail.code, user_id=str(erasure.account_id))
        async with self.db.connection() as connection:
            await erasures.postpone(connection, erasure.digest, delay_seconds)

    async def _erase_in_other_services(self, erasure: ErasureRecord) -> None:
        orders = erasure.orders if erasure.orders is not None else await self._find_guest_orders(erasure)
        for service in DATA_HOLDERS:
            if service not in erasure.services:
                for batch in batches(orders):
                    await self._erase_in(service, EraseUserData(user_id=erasure.account_id, order_ids=batch))
                failpoint("erasure_saga.done_elsewhere")
                async with self.db.connection() as connection:
                    await erasures.mark_service_done(connection, erasure.digest, service, LEASE_SECONDS)
                failpoint("erasure_saga.noted")

    async def _erase_in(self, service: str, request: EraseUserData) -> None:
        while (await self.rpc.request(ERASE[service], request)).more:
            pass

    async def _find_guest_orders(self, erasure: ErasureRecord) -> list[UUID]:
        """Finds and stores the orders that the customer placed as a guest, also those that are the account's by now.

        They are found by a verified e-mail only: an unverified one may belong to another person.
        """
        async with self.db.connection() as connection:
            subject = await erasures.subject(connection, erasure.account_id)
        orders: list[UUID] = []
        emails = guest_order_spellings(subject.email) if subject is not None and subject.email_verified else []
        while emails:
            after = orders[-1] if orders else None
            request = GuestOrdersRequest(emails=emails, user_id=erasure.account_id, after=after)
            page = (await self.rpc.request(GUEST_ORDERS, request)).order_ids
            orders += page
            if not page:
                break
        async with self.db.connection() as connection:
            await erasures.save_orders(connection, erasure.digest, orders, LEASE_SECONDS)
        failpoint("erasure_saga.gathered")
        return orders

    async def _erase_account(self, erasure: ErasureRecord) -> None:
        """Deletes the account last, because guest orders are found by its e-mail; the e-mail is then free again."""
        async with self.db.connection() as connection:
            subject = await erasures.subject(connection, erasure.account_id)
        if subject is not None:
            await self._delete_traces(erasure.account_id, subject)
        async with self.db.transaction() as tx:
            await erasures.delete_account(tx.connection, erasure.account_id)
            if await erasures.finish(tx.connection, erasure.digest, user.SERVICE):
                tx.publish(user.UserErased(user_id=erasure.account_id))
                tx.audit("user.erased", SERVICE_ACTOR, subject=erasure.account_id)
            tx.on_commit(lambda: failpoint("erasure_saga.ended"))

    async def _delete_traces(self, account_id: UUID, subject: ErasureSubject) -> None:
        """Deletes what is stored apart from the account: replies about it, and counters of its e-mail."""
        await self.db.forget_replies(account_id, [str(account_id), subject.email, subject.email_key])
        key = throttle_key(subject.email, "", self.pepper)
        async with self.db.connection() as connection:
            await erasures.delete_counters(connection, key.account_digest, subject.email_key)
        failpoint("erasure_saga.forgotten")


def batches(orders: Sequence[UUID]) -> Iterator[list[UUID]]:
    """Splits the orders into batches that one request can hold; at least one, which may be empty."""
    for start in range(0, max(len(orders), 1), MAX_GUEST_ORDERS):
        yield list(orders[start : start + MAX_GUEST_ORDERS])


assert privacy.COORDINATOR == user.SERVICE, "only the coordinator may request erasures"
