"""Who may ask for what, as one table: each operation beside everybody who may try, and what each of them is told.

An operation says who may use it (`access`), who may publish its subject (`callers`), and whose things it is about
(`owned`). All else follows from these three, here alone: what the services enforce, what the documentation shows, and
what a test walks through, route by route.

An API key is a machine's. It may what an administrator may with what is not his own, as far as its scopes go, and read
what everybody may read. It is nobody's account, so that there is nothing of its own; and what is for people alone
(`people_only`) no scope opens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from contracts.failure import Fail, Forbidden, NotFound, ScopeMissing, Unauthorized
from contracts.identity import Access, Identity
from contracts.operation import EDGE, AnyOperation, OwnedResource


class CallerKind(StrEnum):
    """Who comes over HTTP. `OWNER` and `ANOTHER` are customers: of the thing that is asked about, and not."""

    ANONYMOUS = "anonymous"
    OWNER = "owner"
    OTHER_CUSTOMER = "another customer"
    ADMIN = "administrator"
    API_KEY = "API key"
    """A machine's, with the scope that the operation needs."""


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One operation and, where it is about something that belongs to somebody, what."""

    operation: AnyOperation
    resource: OwnedResource | None = None

    def refusal(self, caller: CallerKind) -> type[Fail] | None:
        """How an asker is refused; None for one who may."""
        if caller is CallerKind.API_KEY:
            return None if self.operation.open_to_api_keys else Forbidden
        if caller is CallerKind.ANONYMOUS:
            return self._refusal_of_anonymous()
        if self.operation.access is Access.ADMIN:
            return None if caller is CallerKind.ADMIN else Forbidden
        if caller is CallerKind.OWNER or not self.id_field:
            return None
        return None if caller is CallerKind.ADMIN and self.resource and self.resource.open_to_admins else NotFound

    def _refusal_of_anonymous(self) -> type[Fail] | None:
        if self.operation.access is not Access.ANYONE:
            return Unauthorized
        if not self.id_field:
            return None
        return NotFound if self.resource and self.resource.open_to_guests else Unauthorized

    @property
    def needs_scope(self) -> bool:
        """Whether an API key may, and only with the scope."""
        return self.operation.open_to_api_keys and not self.operation.is_public

    @property
    def id_field(self) -> str:
        """The field by which a request names somebody's thing."""
        return self.resource.id_field if self.resource else ""

    def describe(self, caller: CallerKind) -> str:
        """A cell of the table."""
        refusal = self.refusal(caller)
        if refusal is not None:
            return f"{int(refusal.status)} {refusal.code}"
        if caller is CallerKind.API_KEY and self.needs_scope:
            return f"`{self.operation.scope}`"
        if self.resource is None or self.id_field:
            return "yes"
        return "everybody's" if caller is CallerKind.ADMIN and self.resource.open_to_admins else "their own"


def access_rules(operation: AnyOperation) -> Iterator[AccessRule]:
    """The rows of an operation that the edge asks. One that may name a thing, but need not, has a row without it."""
    assert EDGE in operation.callers, f"{operation.subject} is not for clients"
    assert operation.access is not Access.CUSTOMER or operation.owned_resources, (
        f"{operation.subject} does not say whose it is"
    )
    if all(one.id_field and not _is_required(operation, one.id_field) for one in operation.owned_resources):
        yield AccessRule(operation)
    for one in operation.owned_resources:
        yield AccessRule(operation, one)


def authorize(operation: AnyOperation, identity: Identity | None) -> Identity | None:
    """Who is asking, as the operation may know them. Raises what refuses whoever may not ask at all.

    The edge asks this early, and the service in any case.
    """
    if identity is not None and identity.scopes is not None:
        return _authorize_api_key(operation, identity)
    if operation.access in (Access.CUSTOMER, Access.ADMIN):
        if identity is None:
            raise Unauthorized
        if operation.access is Access.ADMIN and not identity.is_admin:
            raise Forbidden
    return identity


def _authorize_api_key(operation: AnyOperation, identity: Identity) -> Identity | None:
    """A key without the scope reads what everybody may read as everybody reads it: without what administrators see."""
    if not operation.open_to_api_keys:
        raise Forbidden("No API key may do this.")
    if operation.scope in (identity.scopes or ()):
        return identity
    if operation.is_public:
        return None
    raise ScopeMissing(f"This API key lacks the scope {operation.scope}.")


def _is_required(operation: AnyOperation, field: str) -> bool:
    required: bool = operation.request.model_fields[field].is_required()
    return required
