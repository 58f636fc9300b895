"""The registry of advisory locks."""

from infra.database.advisory_locks import AdvisoryLock, AdvisoryLockSeed, lock, lock_text
from infra.database.postgres import connect
from tests.infra.conftest import KernelStack

HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"


def test_all_numbers_differ() -> None:
    """Aliases of an enumeration count as members here, so that a repeated number is found."""
    for registry in (AdvisoryLock, AdvisoryLockSeed):
        numbers = [int(member) for member in registry.__members__.values()]
        assert len(set(numbers)) == len(numbers)


async def test_a_lock_is_held_to_the_end_of_the_transaction(kernel: KernelStack) -> None:
    async with connect(kernel.settings(), "order") as database, database.connection() as connection:
        async with connection.transaction():
            await lock(connection, AdvisoryLock.AUDIT_LOG)
            await lock_text(connection, "203.0.113.7", AdvisoryLockSeed.LOGIN_ADDRESS)
            assert await connection.fetchval(HELD) == 2
        assert await connection.fetchval(HELD) == 0
