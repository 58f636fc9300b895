"""An operation: one ask that one service answers."""

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
    """What an operation is about that belongs to somebody. Its handler sees to it; tests hold it against this."""

    name: str
    id_field: str = ""
    """The request's field that names it: for everybody but its owner it is `NotFound`. Without one, it is one's own."""
    open_to_admins: bool = False
    """Administrators may, too: with the one that is named, or with everybody's."""
    open_to_guests: bool = False
    """One that has no owner is for whoever knows its id, signed in or not."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[RequestT, ReplyT]):
    """What can be asked of a service, by whom, and every way it can end."""

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
    """Changes something: honours an idempotency key and leaves a line in the log."""
    owned_resources: tuple[OwnedResource, ...] = ()
    """Whose things it is about; more than one where the request can name several. `contracts.access` says the rest."""
    confidential: bool = False
    """The reply holds secrets: what is kept of it for a replay is encrypted under the idempotency key itself."""
    audited: bool = False
    """Touches the security of an account: stands in the audit trail whoever does it."""
    people_only: bool = False
    """No API key may, whatever its scopes."""

    def __post_init__(self) -> None:
        internal = self.access is Access.SERVICE
        assert internal == (EDGE not in self.callers), (
            f"{self.subject}: only internal operations are kept from the edge"
        )

    @property
    def subject(self) -> str:
        return f"rpc.{self.service}.{self.name}"

    @property
    def is_public(self) -> bool:
        """What everybody may read, as it belongs to nobody."""
        return self.access is Access.ANYONE and not self.writes and not self.owned_resources

    @property
    def open_to_api_keys(self) -> bool:
        """A machine may what an administrator may with what is not his own, and what everybody may read."""
        if self.people_only or EDGE not in self.callers:
            return False
        of_admins = bool(self.owned_resources) and all(one.open_to_admins for one in self.owned_resources)
        return self.access is Access.ADMIN or self.is_public or of_admins

    @property
    def scope(self) -> ApiKeyScope:
        """What an API key needs for it, where it is open to them and not to everybody."""
        return ApiKeyScope(f"{self.service}:{'write' if self.writes else 'read'}")

    def all_failures(self) -> Iterator[type[Fail]]:
        """The declared failures and those that its access, its body and the network bring along."""
        yield from self.failures
        yield InvalidRequest
        if self.access in (Access.CUSTOMER, Access.ADMIN):
            yield Unauthorized
        if self.access is Access.ADMIN:
            yield Forbidden
        if EDGE in self.callers and not self.open_to_api_keys:
            yield Forbidden
        elif EDGE in self.callers and not self.is_public:
            yield ScopeMissing
        if self.writes:
            yield from (IdempotencyInProgress, IdempotencyKeyReused)
        yield from COMMON_FAILURES


AnyOperation = Operation[Any, Any]
