"""Sessions: signing in, the tokens that prove it, and the list of where one is signed in."""

from http import HTTPStatus
from typing import Annotated, Any

from pydantic import Field

from contracts.failure import Fail
from contracts.model import Id, Model, Secret, SingleLine, Timestamp
from contracts.user.accounts import EmailAttempt, PasswordAttempt, User
from contracts.user.totp import SecondFactorCode

TOKEN_ISSUER = "souk"  # noqa: S105 - a public claim, not a secret
"""The `iss` of an access token."""
TOKEN_AUDIENCE = "souk-api"  # noqa: S105 - a public claim, not a secret
"""Its `aud`."""
TOKEN_ALGORITHM = "RS256"  # noqa: S105 - a public claim, not a secret
"""Its `alg`; whoever verifies one accepts no other (RFC 8725)."""
ACCESS_TOKEN_TYPE = "access"  # noqa: S105 - a public claim, not a secret
"""Its `typ` claim. Beside it stand `sub` (the user), `role`, `sid` (the session), `jti`, `iat` and `exp`."""
ACCESS_TOKEN_TTL_SECONDS = 900
"""Seconds from its `iat` to its `exp`."""


class InvalidCredentials(Fail, status=HTTPStatus.UNAUTHORIZED):
    """The e-mail or the password is wrong."""


class TokenReused(Fail, status=HTTPStatus.UNAUTHORIZED):
    """This refresh token was spent before; every session that came from it is ended."""


class InvalidRefreshToken(Fail, status=HTTPStatus.UNAUTHORIZED):
    """The refresh token is not valid, or no longer."""


RefreshToken = Annotated[Secret, Field(min_length=1, max_length=512)]


class Login(Model):
    email: EmailAttempt
    password: PasswordAttempt
    code: Annotated[SecondFactorCode | None, Field(description="Where the account has a second factor.")] = None


class RefreshTokenRequest(Model):
    refresh_token: RefreshToken


class SessionTokens(Model):
    """A signed-in user: the access token for requests, the refresh token for the next pair."""

    user: User
    access_token: Annotated[str, Field(repr=False)]
    refresh_token: Annotated[str, Field(repr=False)]
    token_type: Annotated[str, Field(pattern="^Bearer$")] = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: Annotated[int, Field(description="Seconds until the access token expires.")]


class UserSession(Model):
    """One of the sessions of an account: a login and everything refreshed from it."""

    id: Id
    created_at: Timestamp
    used_at: Annotated[Timestamp, Field(description="When its refresh token was last exchanged.")]
    expires_at: Timestamp
    address: Annotated[SingleLine, Field(description="Where it was last used from; empty when that is not known.")]
    current: Annotated[bool, Field(description="Whether it is the one that asks.")]


class SessionRef(Model):
    id: Id


class Jwks(Model):
    """The public keys that access tokens are verified with (RFC 7517)."""

    keys: list[dict[str, Any]]


class KeyRotation(Model):
    """What became of the keys that sign access tokens. Nobody is signed out by it."""

    kid: Annotated[str, Field(description="The new key.")]
    signs_in: Annotated[int, Field(description="Seconds until it signs; it is published already.")]
    former: Annotated[list[str], Field(description="The keys whose place it takes.")]
    retired_in: Annotated[int, Field(description="Seconds until those are published no longer.")]
