"""An authenticated caller: a customer or administrator with an access token, or a machine with an API key."""

from dataclasses import dataclass

from contracts.identity import Identity


@dataclass(frozen=True, slots=True)
class Caller:
    """An identity, the header value that carries it to the services, and when it expires (Unix time, seconds)."""

    identity: Identity
    identity_header: str
    expires_at: float


def create_caller(identity: Identity, expires_at: float) -> Caller:
    """Returns the caller with an identity, whose header is written once for all its requests."""
    return Caller(identity, identity.model_dump_json(exclude_none=True), expires_at)
