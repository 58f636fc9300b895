"""The keys by which others verify access tokens."""

from contracts.model import Empty
from contracts.user import Jwks, KeyRotation
from infra.messaging.rpc_client import Request
from services.user.deps import UserDeps
from services.user.security.signing_keys import ACTIVATION_DELAY_SECONDS, RETIREMENT_SECONDS


async def get_jwks(deps: UserDeps, _request: Request[Empty]) -> Jwks:
    """Returns the public keys."""
    return Jwks(keys=[key.jwk for key in await deps.signing_keys.all()])


async def rotate_keys(deps: UserDeps, request: Request[Empty]) -> KeyRotation:
    """Adds a signing key and retires the others."""
    kid, former = await deps.signing_keys.rotate(request)
    return KeyRotation(
        kid=kid, signs_in=int(ACTIVATION_DELAY_SECONDS), former=former, retired_in=int(RETIREMENT_SECONDS)
    )
