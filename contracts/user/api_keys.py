"""API keys: administrators make them for machines that call the API."""

from http import HTTPStatus
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from contracts.failure import Fail, InvalidCursor, InvalidToken, NotFound
from contracts.identity import Access, ApiKeyScope
from contracts.model import VISIBLE, Empty, Id, InputTimestamp, ListPage, Model, NonEmptyLine, PageParams, Timestamp
from contracts.operation import Operation
from contracts.text_patterns import SHA256_DETAIL, SHA256_HEX, text_format

SERVICE = "user"
MAX_API_KEYS = 100
"""Keys made by one administrator."""
MAX_API_KEY_DAYS = 3660
"""The longest lifetime of a key that expires, in days."""
API_KEY_PREFIX = "souk_"
"""Tells a key from an access token, and lets secret scanners find keys that were published by mistake."""
API_KEY_PATTERN = r"souk_[A-Za-z0-9_-]{43}"
"""The prefix and 256 random bits in Base64url."""


class TooManyApiKeys(Fail, status=HTTPStatus.CONFLICT, code="too_many_api_keys"):
    """An administrator can have at most 100 API keys; revoke one first."""


def _unique(scopes: list[ApiKeyScope]) -> list[ApiKeyScope]:
    return sorted(set(scopes))


ApiKeyScopes = Annotated[list[ApiKeyScope], Field(min_length=1, max_length=100), AfterValidator(_unique)]


class MakeApiKey(Model):
    """A new API key."""

    name: Annotated[NonEmptyLine, StringConstraints(max_length=100), VISIBLE, Field(description="What the key is for.")]
    scopes: Annotated[ApiKeyScopes, Field(description="What the key may do.")]
    expires_at: Annotated[
        InputTimestamp | None, Field(description="When the key expires, within ten years; without it, never.")
    ] = None


class ApiKey(Model):
    """An API key without its secret."""

    id: Id
    name: Annotated[str, Field(description="What the key is for.")]
    scopes: Annotated[list[ApiKeyScope], Field(description="What the key may do.")]
    made_by: Annotated[Id, Field(description="The administrator who made it. It ends when their rights end.")]
    created_at: Timestamp
    expires_at: Annotated[Timestamp | None, Field(description="When it expires; null if never.")]
    last_used_at: Annotated[Timestamp | None, Field(description="When it was last used, to about a minute.")]


class NewApiKey(ApiKey):
    """A new API key with its secret, which is never shown again."""

    key: Annotated[str, Field(repr=False, description="Send it as `Authorization: Bearer ...`.")]


class ApiKeyRef(Model):
    """Names an API key."""

    id: Id


class FindApiKey(Model):
    """Finds a key by its SHA-256 in hexadecimal digits. Only the edge sees the keys themselves."""

    digest: Annotated[str, text_format(SHA256_HEX, SHA256_DETAIL)]


class ApiKeyGrant(Model):
    """What a key may do, and until when."""

    id: Id
    scopes: list[ApiKeyScope]
    expires_at: Timestamp | None


LIST_API_KEYS = Operation(
    SERVICE,
    "list_api_keys",
    PageParams,
    ListPage[ApiKey],
    "List API keys",
    Access.ADMIN,
    (InvalidCursor,),
    people_only=True,
)
MAKE_API_KEY = Operation(
    SERVICE,
    "make_api_key",
    MakeApiKey,
    NewApiKey,
    "Create an API key for a machine; the key is shown only once",
    Access.ADMIN,
    (TooManyApiKeys,),
    writes=True,
    confidential=True,
    people_only=True,
)
REVOKE_API_KEY = Operation(
    SERVICE,
    "revoke_api_key",
    ApiKeyRef,
    Empty,
    "Revoke an API key; its next request is refused",
    Access.ADMIN,
    (NotFound,),
    writes=True,
    people_only=True,
)
FIND_API_KEY = Operation(
    SERVICE,
    "find_api_key",
    FindApiKey,
    ApiKeyGrant,
    "Find an API key and its scopes",
    Access.ANYONE,
    (InvalidToken,),
)

API_KEY_OPERATIONS = (LIST_API_KEYS, MAKE_API_KEY, REVOKE_API_KEY, FIND_API_KEY)
