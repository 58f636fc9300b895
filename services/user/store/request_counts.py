"""SQL of counted requests, by the account they name, whether or not it exists, and by client address."""

from dataclasses import dataclass
from enum import StrEnum

from infra.database.advisory_locks import AdvisoryLockSeed, lock_text
from infra.database.postgres import Connection
from services.user.domain.attempt_limits import ThrottleKey

_COUNT = """
SELECT count(*) FILTER (WHERE account = $2) AS for_account,
       count(*) FILTER (WHERE address = $3) AS from_address,
       coalesce(extract(epoch FROM clock_timestamp() - min(made_at) FILTER (WHERE address = $3)), 0)::float8
           AS oldest_age_seconds
FROM counted_request
WHERE kind = $1 AND made_at > clock_timestamp() - make_interval(secs => $4) AND (account = $2 OR address = $3)
"""
_ADD = "INSERT INTO counted_request (kind, account, address) VALUES ($1, $2, $3)"
_DELETE_EXPIRED = "DELETE FROM counted_request WHERE made_at < now() - make_interval(secs => $1)"


class CountedRequest(StrEnum):
    """The kinds of request that are counted."""

    TOKEN_MAIL = "mail"  # noqa: S105 - a kind of request
    """A request to mail a token."""
    EMAIL_TAKEN = "taken"
    """A registration that was refused because the e-mail has an account."""


@dataclass(frozen=True, slots=True)
class RequestCount:
    """Requests within the window; `oldest_age_seconds` is the age of the first one from the address."""

    for_account: int
    from_address: int
    oldest_age_seconds: float


async def lock_address(connection: Connection, key: ThrottleKey) -> None:
    """Makes concurrent requests from this address count one after another, until the commit."""
    await lock_text(connection, key.address, AdvisoryLockSeed.COUNTED_REQUEST_ADDRESS)


async def count(connection: Connection, kind: CountedRequest, key: ThrottleKey, window_seconds: float) -> RequestCount:
    """Returns how many requests of this kind name the account or come from the address."""
    row = await connection.fetchrow(_COUNT, kind, key.account_digest, key.address, window_seconds)
    assert row is not None, "an aggregate returns one row"
    return RequestCount(row["for_account"], row["from_address"], row["oldest_age_seconds"])


async def add(connection: Connection, kind: CountedRequest, key: ThrottleKey) -> None:
    """Counts a request."""
    await connection.execute(_ADD, kind, key.account_digest, key.address)


async def delete_expired(connection: Connection, window_seconds: float) -> None:
    """Deletes requests that no longer count."""
    await connection.execute(_DELETE_EXPIRED, window_seconds)
