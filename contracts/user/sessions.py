"""Sessions: signing in, the tokens of a session, and the list of an account's sessions."""

from http import HTTPStatus
from typing import Annotated, Any

from pydantic import Field

from contracts.failure import Fail
from contracts.model import Id, Model, Secret, SingleLine, Timestamp
from contracts.text_patterns import text_format
from contracts.user.accounts import EmailAttempt, PasswordAttempt, User
from contracts.user.totp import SecondFactorCode

TOKEN_ISSUER = "souk"  # noqa: S105 - a public claim, not a secret
"""The `iss` of an access token."""
TOKEN_AUDIENCE = "souk-api"  # noqa: S105 - a public claim, not a secret
"""Its `aud`."""
TOKEN_ALGORITHM = "RS256"  # noqa: S105 - a public claim, not a secret
"""Its `alg`; a verifier must accept no other (RFC 8725)."""
ACCESS_TOKEN_TYPE = "access"  # noqa: S105 - a public claim, not a secret
"""Its `typ` claim. Its other claims are `sub` (the user), `role`, `sid` (the session), `jti`, `iat` and `exp`."""
ACCESS_TOKEN_TTL_SECONDS = 900
"""Seconds from its `iat` to its `exp`."""


class InvalidCredentials(Fail, status=HTTPStatus.UNAUTHORIZED, code="invalid_credentials"):
    """The e-mail or the password is wrong."""


class TokenReused(Fail, status=HTTPStatus.UNAUTHORIZED, code="token_reused"):
    """This refresh token was already used; its session has ended. Sign in again."""


class InvalidRefreshToken(Fail, status=HTTPStatus.UNAUTHORIZED, code="invalid_refresh_token"):
    """The refresh token is invalid or has expired. Sign in again."""


RefreshToken = Annotated[Secret, Field(min_length=1, max_length=512)]


class Login(Model):
    """The credentials to sign in with."""

    email: Annotated[EmailAttempt, Field(description="The e-mail of the account.")]
    password: Annotated[PasswordAttempt, Field(description="The password of the account.")]
    code: Annotated[
        SecondFactorCode | None,
        Field(description="An authenticator code or a recovery code, if the account has a second factor."),
    ] = None


class RefreshTokenRequest(Model):
    """The refresh token of a session."""

    refresh_token: Annotated[RefreshToken, Field(description="The refresh token received last.")]


class SessionTokens(Model):
    """A signed-in user and the tokens of the session."""

    user: User
    access_token: Annotated[str, Field(repr=False, description="Send it as `Authorization: Bearer ...`.")]
    refresh_token: Annotated[str, Field(repr=False, description="Exchange it once for new tokens.")]
    token_type: Annotated[str, text_format("^Bearer$", "Send `Bearer`."), Field(description="Always `Bearer`.")] = (
        "Bearer"  # noqa: S105 - the name of a scheme
    )
    expires_in: Annotated[int, Field(description="Seconds until the access token expires.")]


class UserSession(Model):
    """A session of an account: one sign-in and all tokens refreshed from it."""

    id: Id
    created_at: Timestamp
    used_at: Annotated[Timestamp, Field(description="When its refresh token was last exchanged.")]
    expires_at: Timestamp
    address: Annotated[SingleLine, Field(description="The IP address it was last used from; empty if unknown.")]
    current: Annotated[bool, Field(description="Whether it is the session of this request.")]


class SessionRef(Model):
    """Names a session."""

    id: Id


class Jwks(Model):
    """The public keys that access tokens are verified with (RFC 7517)."""

    keys: Annotated[list[dict[str, Any]], Field(description="JSON Web Keys.")]


class KeyRotation(Model):
    """The result of a rotation of the signing keys. Access tokens in use stay valid."""

    kid: Annotated[str, Field(description="The id of the new key.")]
    signs_in: Annotated[int, Field(description="Seconds until the new key signs tokens; it is published at once.")]
    former: Annotated[list[str], Field(description="The ids of the keys it replaces.")]
    retired_in: Annotated[int, Field(description="Seconds until the replaced keys are no longer published.")]
