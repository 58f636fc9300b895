"""Operations: requests that one service replies to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from contracts.failure import (
    COMMON_FAILURES,
    Fail,
    Forbidden,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    InvalidRequest,
    ScopeMissing,
    Unauthorized,
)
from contracts.identity import Access, ApiKeyScope
from contracts.model import Model

RequestT = TypeVar("RequestT", bound=Model)
ReplyT = TypeVar("ReplyT", bound=Model)

EDGE = "edge"
OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class OwnedResource:
    """A resource with an owner that an operation works on. The handler checks the owner; tests check the handler."""

    name: str
    id_field: str = ""
    """The request field that names the resource. Callers who do not own it get `NotFound`. Empty if the operation
    always works on the caller's own resource.
    """
    open_to_admins: bool = False
    """Whether administrators may use it too: the resource that is named, or those of all users."""
    open_to_guests: bool = False
    """Whether a resource without an owner is open to any caller who knows its id, signed in or not."""
    open_to_order_tokens: bool = False
    """Whether the resource is a guest's order, or belongs to one, and is open to who sends that order's token."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[RequestT, ReplyT]):
    """A request that a service replies to: its models, its callers and its failures."""

    service: str
    name: str
    request: type[RequestT]
    reply: type[ReplyT]
    summary: str
    access: Access
    failures: tuple[type[Fail], ...] = ()
    callers: tuple[str, ...] = (EDGE,)
    """Who may publish the subject. An operation that trusts an identity is never open to another service."""
    writes: bool = False
    """Whether it changes something. Then it honours an idempotency key and writes a log line."""
    owned_resources: tuple[OwnedResource, ...] = ()
    """The owned resources it works on; several if a request can name several. `contracts.access` holds the rules."""
    confidential: bool = False
    """Whether the reply holds secrets. Then the copy stored for a replay is encrypted under the idempotency key."""
    audited: bool = False
    """Whether it concerns the security of an account. Then every call is written to the audit log."""
    people_only: bool = False
    """Whether it is closed to API keys with any scopes."""
    ignores_tokens: bool = False
    """Whether the edge reads no access token or API key: the request itself proves what it must, and a browser may send
    an old token with it.
    """
    api_key_scope: ApiKeyScope | None = None
    """The scope that an API key needs, where it is not that of the service."""

    def __post_init__(self) -> None:
        internal = self.access is Access.SERVICE
        assert internal == (EDGE not in self.callers), (
            f"{self.subject}: an operation is closed to the edge exactly if its access is SERVICE"
        )
        assert self.access is Access.ANYONE or not self.ignores_tokens, f"{self.subject}: it needs the caller's token"
        assert self.access is Access.CUSTOMER or not self.open_to_order_tokens, (
            f"{self.subject}: an order's token stands in for its customer"
        )

    @property
    def subject(self) -> str:
        """The NATS subject of its requests."""
        return f"rpc.{self.service}.{self.name}"

    @property
    def is_public(self) -> bool:
        """Whether anyone may read it, because it has no owner."""
        return self.access is Access.ANYONE and not self.writes and not self.owned_resources

    @property
    def open_to_order_tokens(self) -> bool:
        """Whether a guest may use it with the token of their order."""
        return any(one.open_to_order_tokens for one in self.owned_resources)

    @property
    def open_to_guests(self) -> bool:
        """Whether a caller who has not signed in may use it."""
        return self.access is Access.ANYONE or self.open_to_order_tokens

    @property
    def open_to_api_keys(self) -> bool:
        """Whether API keys may use it.

        A key may do what an administrator may do with other users' resources, and may read what is public.
        """
        if self.people_only or EDGE not in self.callers:
            return False
        open_to_admins = bool(self.owned_resources) and all(one.open_to_admins for one in self.owned_resources)
        return self.access is Access.ADMIN or self.is_public or open_to_admins

    @property
    def scope(self) -> ApiKeyScope:
        """The scope that an API key needs, if the operation is open to keys and not public."""
        return self.api_key_scope or ApiKeyScope(f"{self.service}:{'write' if self.writes else 'read'}")

    def all_failures(self) -> Iterator[type[Fail]]:
        """Yields the declared failures and those that follow from its access, its body and the network."""
        yield from self.failures
        yield InvalidRequest
        if self.access in (Access.CUSTOMER, Access.ADMIN):
            yield Unauthorized
        if self.access is Access.ADMIN:
            yield Forbidden
        if EDGE in self.callers and not (self.open_to_api_keys or self.ignores_tokens):
            yield Forbidden
        elif EDGE in self.callers and not (self.is_public or self.ignores_tokens):
            yield ScopeMissing
        if self.writes:
            yield from (IdempotencyInProgress, IdempotencyKeyReused)
        yield from COMMON_FAILURES


AnyOperation = Operation[Any, Any]
