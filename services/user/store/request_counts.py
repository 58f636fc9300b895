"""Requests that are counted: by the account they name, known or not, and by the address they come from."""

from dataclasses import dataclass
from enum import StrEnum

from infra.database.postgres import Connection
from services.user.domain.accounts import Attempt

_LINE_UP = "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))"
_COUNT = """
SELECT count(*) FILTER (WHERE account = $2) AS of_account,
       count(*) FILTER (WHERE address = $3) AS of_address,
       coalesce(extract(epoch FROM clock_timestamp() - min(made_at) FILTER (WHERE address = $3)), 0)::float8 AS age
FROM counted_request
WHERE kind = $1 AND made_at > clock_timestamp() - make_interval(secs => $4) AND (account = $2 OR address = $3)
"""
_ADD = "INSERT INTO counted_request (kind, account, address) VALUES ($1, $2, $3)"
_PRUNE = "DELETE FROM counted_request WHERE made_at < now() - make_interval(secs => $1)"


class Kind(StrEnum):
    """What is counted."""

    MAIL = "mail"
    """Somebody wants a token mailed."""
    TAKEN = "taken"
    """Somebody was told that an e-mail has an account."""


@dataclass(frozen=True, slots=True)
class Count:
    """How often within the window; `age` is the seconds since the first one from the address."""

    of_account: int
    of_address: int
    age: float


async def line_up(connection: Connection, attempt: Attempt) -> None:
    """From here to the commit, requests from one address are counted one after another."""
    await connection.execute(_LINE_UP, attempt.address)


async def count(connection: Connection, kind: Kind, attempt: Attempt, window: float) -> Count:
    row = await connection.fetchrow(_COUNT, kind, attempt.account, attempt.address, window)
    assert row is not None, "an aggregate has a row"
    return Count(row["of_account"], row["of_address"], row["age"])


async def add(connection: Connection, kind: Kind, attempt: Attempt) -> None:
    await connection.execute(_ADD, kind, attempt.account, attempt.address)


async def prune(connection: Connection, window: float) -> None:
    await connection.execute(_PRUNE, window)
