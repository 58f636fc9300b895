"""Requests that are counted: by the account they name, known or not, and by the address they come from."""

from dataclasses import dataclass
from enum import StrEnum

from infra.database.postgres import Connection
from services.user.domain.accounts import ThrottleKey

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


class CountedRequest(StrEnum):
    """What is counted."""

    TOKEN_MAIL = "mail"  # noqa: S105 - a kind of request
    """Somebody wants a token mailed."""
    EMAIL_TAKEN = "taken"
    """Somebody was told that an e-mail has an account."""


@dataclass(frozen=True, slots=True)
class RequestCount:
    """How often within the window; `age` is the seconds since the first one from the address."""

    for_account: int
    from_address: int
    oldest_age_seconds: float


async def lock_address(connection: Connection, attempt: ThrottleKey) -> None:
    """From here to the commit, requests from one address are counted one after another."""
    await connection.execute(_LINE_UP, attempt.address)


async def count(
    connection: Connection, kind: CountedRequest, attempt: ThrottleKey, window_seconds: float
) -> RequestCount:
    row = await connection.fetchrow(_COUNT, kind, attempt.account_digest, attempt.address, window_seconds)
    assert row is not None, "an aggregate has a row"
    return RequestCount(row["of_account"], row["of_address"], row["age"])


async def add(connection: Connection, kind: CountedRequest, attempt: ThrottleKey) -> None:
    await connection.execute(_ADD, kind, attempt.account_digest, attempt.address)


async def delete_expired(connection: Connection, window_seconds: float) -> None:
    await connection.execute(_PRUNE, window_seconds)
