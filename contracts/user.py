"""user: accounts, sessions and the keys that sign access tokens."""

from http import HTTPStatus
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from contracts.event import Event
from contracts.failure import Fail, NotFound, PreconditionFailed, TooManyRequests
from contracts.identity import Access, Role
from contracts.model import Email, Empty, Id, Line, Model, Name, Secret, Time
from contracts.operation import OPERATOR, Operation

MIN_PASSWORD_BYTES, MAX_PASSWORD_BYTES = 8, 72

ISSUER = "souk"
"""The `iss` of an access token."""
AUDIENCE = "souk-api"
"""Its `aud`."""
ALGORITHM = "RS256"
"""Its `alg`; whoever verifies one accepts no other (RFC 8725)."""
ACCESS_TYPE = "access"
"""Its `typ` claim. Beside it stand `sub` (the user), `role`, `sid` (the session), `jti`, `iat` and `exp`."""
ACCESS_TTL = 900
"""Seconds from its `iat` to its `exp`."""


class EmailTaken(Fail, status=HTTPStatus.CONFLICT):
    """There is an account with this e-mail already."""


class InvalidCredentials(Fail, status=HTTPStatus.UNAUTHORIZED):
    """The e-mail or the password is wrong."""


class TokenReused(Fail, status=HTTPStatus.UNAUTHORIZED):
    """This refresh token was spent before; every session that came from it is ended."""


class InvalidRefreshToken(Fail, status=HTTPStatus.UNAUTHORIZED):
    """The refresh token is not valid, or no longer."""


class TooManyAttempts(Fail, status=HTTPStatus.TOO_MANY_REQUESTS):
    """Too many failed attempts; wait before trying again."""


def _password(value: SecretStr) -> SecretStr:
    if not MIN_PASSWORD_BYTES <= len(value.get_secret_value().encode()) <= MAX_PASSWORD_BYTES:
        message = f"has between {MIN_PASSWORD_BYTES} and {MAX_PASSWORD_BYTES} bytes"
        raise ValueError(message)
    if "\0" in value.get_secret_value():
        message = "has no NUL character"
        raise ValueError(message)
    return value


Password = Annotated[Secret, Field(min_length=1, max_length=MAX_PASSWORD_BYTES), AfterValidator(_password)]
"""8 to 72 bytes in UTF-8: bcrypt reads no more."""

Attempt = Annotated[Secret, Field(max_length=1024)]
"""A password as somebody typed it; a wrong length is just a wrong password."""

RefreshToken = Annotated[Secret, Field(min_length=1, max_length=512)]


class User(Model):
    id: Id
    email: Email
    first_name: Line
    last_name: Line
    role: Role
    is_active: bool
    email_verified: bool
    created_at: Time
    updated_at: Time


class Register(Model):
    email: Email
    password: Password
    first_name: Annotated[Name, StringConstraints(max_length=100)]
    last_name: Annotated[Name, StringConstraints(max_length=100)]


class Login(Model):
    email: Annotated[Line, StringConstraints(max_length=254)]
    password: Attempt


class Refresh(Model):
    refresh_token: RefreshToken


class Session(Model):
    """A signed-in user: the access token for requests, the refresh token for the next pair."""

    user: User
    access_token: Annotated[str, Field(repr=False)]
    refresh_token: Annotated[str, Field(repr=False)]
    token_type: Annotated[str, Field(pattern="^Bearer$")] = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: Annotated[int, Field(description="Seconds until the access token expires.")]


class UpdateProfile(Model):
    first_name: Annotated[Name, StringConstraints(max_length=100)]
    last_name: Annotated[Name, StringConstraints(max_length=100)]


class Jwks(Model):
    """The public keys that access tokens are verified with (RFC 7517)."""

    keys: list[dict[str, Any]]


class ContactOf(Model):
    user_id: Id


class Contact(Model):
    """Where a customer is reached. It is asked for when a mail is sent, never kept in an event."""

    email: Email
    first_name: Line
    last_name: Line


class MakeAdmin(Model):
    """The password is for a new account; one that is there keeps its own."""

    email: Email
    password: Password


class Registered(Event, service="user", name="registered", key="user_id"):
    """Somebody opened an account."""

    user_id: Id


SERVICE = "user"

REGISTER = Operation(
    SERVICE,
    "register",
    Register,
    Session,
    "Open an account",
    Access.ANYONE,
    (EmailTaken, TooManyRequests),
    writes=True,
    confidential=True,
)
LOGIN = Operation(
    SERVICE,
    "login",
    Login,
    Session,
    "Sign in",
    Access.ANYONE,
    (InvalidCredentials, TooManyAttempts),
    writes=True,
    confidential=True,
)
REFRESH = Operation(
    SERVICE,
    "refresh",
    Refresh,
    Session,
    "Exchange a refresh token for a new pair",
    Access.ANYONE,
    (InvalidRefreshToken, TokenReused),
    writes=True,
    confidential=True,
)
LOGOUT = Operation(
    SERVICE, "logout", Refresh, Empty, "End a session and all that came from it", Access.ANYONE, writes=True
)
PROFILE = Operation(SERVICE, "profile", Empty, User, "Read one's own account", Access.CUSTOMER, (NotFound,))
UPDATE_PROFILE = Operation(
    SERVICE,
    "update_profile",
    UpdateProfile,
    User,
    "Change one's own name",
    Access.CUSTOMER,
    (NotFound, PreconditionFailed),
    writes=True,
)
JWKS = Operation(SERVICE, "jwks", Empty, Jwks, "Public keys of access tokens", Access.ANYONE)
CONTACT = Operation(
    SERVICE,
    "contact",
    ContactOf,
    Contact,
    "Where a customer is reached",
    Access.SERVICE,
    (NotFound,),
    ("notification",),
)
MAKE_ADMIN = Operation(
    SERVICE,
    "make_admin",
    MakeAdmin,
    User,
    "Make an administrator's account, once",
    Access.SERVICE,
    callers=(OPERATOR,),
    writes=True,
)

OPERATIONS = (REGISTER, LOGIN, REFRESH, LOGOUT, PROFILE, UPDATE_PROFILE, JWKS, CONTACT, MAKE_ADMIN)
EVENTS = (Registered,)
