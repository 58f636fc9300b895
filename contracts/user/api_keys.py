"""API keys: what machines ask with, made by administrators."""

from http import HTTPStatus
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from contracts.failure import Fail, InvalidCursor, InvalidToken, NotFound
from contracts.identity import Access, ApiKeyScope
from contracts.model import Empty, Id, InputTimestamp, ListPage, Model, NonEmptyLine, PageParams, Timestamp
from contracts.operation import Operation

SERVICE = "user"
MAX_API_KEYS = 100
MAX_API_KEY_DAYS = 3660
"""Days until one expires, at the most, where it does."""
API_KEY_PREFIX = "souk_"
"""By which a key is told from an access token, and found where somebody has left it in the open."""
API_KEY_PATTERN = r"souk_[A-Za-z0-9_-]{43}"
"""256 random bits in Base64url."""


class TooManyApiKeys(Fail, status=HTTPStatus.CONFLICT):
    """An administrator has 100 API keys at the most; revoke one first."""


def _unique(scopes: list[ApiKeyScope]) -> list[ApiKeyScope]:
    return sorted(set(scopes))


ApiKeyScopes = Annotated[list[ApiKeyScope], Field(min_length=1, max_length=100), AfterValidator(_unique)]


class MakeApiKey(Model):
    name: Annotated[NonEmptyLine, StringConstraints(max_length=100), Field(description="What it is for.")]
    scopes: Annotated[ApiKeyScopes, Field(description="What it may do.")]
    expires_at: Annotated[InputTimestamp | None, Field(description="Within ten years. Left out, it never expires.")] = (
        None
    )


class ApiKey(Model):
    id: Id
    name: str
    scopes: list[ApiKeyScope]
    made_by: Annotated[Id, Field(description="The administrator with whom it ends.")]
    created_at: Timestamp
    expires_at: Timestamp | None
    last_used_at: Annotated[Timestamp | None, Field(description="Within a minute or so.")]


class NewApiKey(ApiKey):
    """A new one. The key itself is shown this once."""

    key: Annotated[str, Field(repr=False, description="For `Authorization: Bearer ...`.")]


class ApiKeyRef(Model):
    id: Id


class FindApiKey(Model):
    """The edge alone sees keys; it asks by SHA-256, in hexadecimal digits."""

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ApiKeyGrant(Model):
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
    "Make an API key for a machine; it is shown this once",
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
    "End an API key; its next request is refused",
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
    "Whose a key is that somebody asks with, and what it may do",
    Access.ANYONE,
    (InvalidToken,),
)

API_KEY_OPERATIONS = (LIST_API_KEYS, MAKE_API_KEY, REVOKE_API_KEY, FIND_API_KEY)
