"""The registry of advisory locks: every number that the project locks in PostgreSQL, so that no two uses share one.

An advisory lock is a number that belongs to one database. Two uses with the same number in one database would make each
other wait, which no error shows. Numbers never change: during a rolling restart the old release still takes them.
"""

from enum import IntEnum, unique
from typing import Any


@unique
class AdvisoryLock(IntEnum):
    """The locks that are one number each."""

    OUTBOX_RELAY = 0x50_55_4B
    """Held by the session of the one relay that publishes a database's outbox."""
    MIGRATIONS = 0x50_55_4C
    """Held by the process that migrates the database."""
    AUDIT_LOG = 0x50_55_4D
    """Held to the end of a transaction that appends to the audit log, so that its hash chain has no gap."""
    SIGNING_KEYS = 0x50_55_4E
    """Held to the end of a transaction that adds or rotates signing keys (database of user)."""
    CATEGORY_TREE = 0x54_52_45
    """Held to the end of a transaction that moves a category, so that no two moves close a cycle (catalog)."""


@unique
class AdvisoryLockSeed(IntEnum):
    """The locks on a text: PostgreSQL hashes the text with the seed into the number that is locked."""

    LOGIN_ADDRESS = 0
    """Logins from one client address are counted one after another (database of user)."""
    COUNTED_REQUEST_ADDRESS = 1
    """Requests that count per client address are counted one after another (database of user)."""
    UNCONFIRMED_RECIPIENT = 20
    """Mails to one address that was never confirmed are counted one after another (database of notification)."""


_LOCK = "SELECT pg_advisory_xact_lock($1)"
_LOCK_TEXT = "SELECT pg_advisory_xact_lock(hashtextextended($1, $2))"
_LOCK_TEXTS = """
SELECT pg_advisory_xact_lock(number) FROM (
    SELECT DISTINCT hashtextextended(name, $2) AS number FROM unnest($1::text[]) AS locked (name) ORDER BY number
) AS ordered
"""


async def lock(connection: Any, number: AdvisoryLock) -> None:
    """Waits for the lock and holds it to the end of the transaction on this connection."""
    await connection.execute(_LOCK, number)


async def lock_text(connection: Any, text: str, seed: AdvisoryLockSeed) -> None:
    """Waits for the lock on a text and holds it to the end of the transaction on this connection."""
    await connection.execute(_LOCK_TEXT, text, seed)


async def lock_texts(connection: Any, texts: list[str], seed: AdvisoryLockSeed) -> None:
    """Waits for the locks on all texts, in one order everywhere, so that two processes never deadlock."""
    await connection.execute(_LOCK_TEXTS, texts, seed)
