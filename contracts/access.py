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
from contracts.operation import EDGE, AnyOperation, Owned


class Asker(StrEnum):
    """Who comes over HTTP. `OWNER` and `ANOTHER` are customers: of the thing that is asked about, and not."""

    ANONYMOUS = "anonymous"
    OWNER = "owner"
    ANOTHER = "another customer"
    ADMIN = "administrator"
    KEY = "API key"
    """A machine's, with the scope that the operation needs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operation and, where it is about something that belongs to somebody, what."""

    operation: AnyOperation
    owned: Owned | None = None

    def refusal(self, asker: Asker) -> type[Fail] | None:
        """How an asker is refused; None for one who may."""
        if asker is Asker.KEY:
            return None if self.operation.open_to_keys else Forbidden
        if asker is Asker.ANONYMOUS:
            return self._unknown()
        if self.operation.access is Access.ADMIN:
            return None if asker is Asker.ADMIN else Forbidden
        if asker is Asker.OWNER or not self.names:
            return None
        return None if asker is Asker.ADMIN and self.owned and self.owned.admins else NotFound

    def _unknown(self) -> type[Fail] | None:
        if self.operation.access is not Access.ANYONE:
            return Unauthorized
        if not self.names:
            return None
        return NotFound if self.owned and self.owned.guests else Unauthorized

    @property
    def needs_scope(self) -> bool:
        """Whether an API key may, and only with the scope."""
        return self.operation.open_to_keys and not self.operation.is_public

    @property
    def names(self) -> str:
        """The field by which a request names somebody's thing."""
        return self.owned.named if self.owned else ""

    def says(self, asker: Asker) -> str:
        """A cell of the table."""
        refusal = self.refusal(asker)
        if refusal is not None:
            return f"{int(refusal.status)} {refusal.code}"
        if asker is Asker.KEY and self.needs_scope:
            return f"`{self.operation.scope}`"
        if self.owned is None or self.names:
            return "yes"
        return "everybody's" if asker is Asker.ADMIN and self.owned.admins else "their own"


def rows_of(operation: AnyOperation) -> Iterator[Row]:
    """The rows of an operation that the edge asks. One that may name a thing, but need not, has a row without it."""
    assert EDGE in operation.callers, f"{operation.subject} is not for clients"
    assert operation.access is not Access.CUSTOMER or operation.owned, f"{operation.subject} does not say whose it is"
    if all(one.named and not _required(operation, one.named) for one in operation.owned):
        yield Row(operation)
    for one in operation.owned:
        yield Row(operation, one)


def admit(operation: AnyOperation, identity: Identity | None) -> Identity | None:
    """Who is asking, as the operation may know them. Raises what refuses whoever may not ask at all.

    The edge asks this early, and the service in any case.
    """
    if identity is not None and identity.scopes is not None:
        return _admit_key(operation, identity)
    if operation.access in (Access.CUSTOMER, Access.ADMIN):
        if identity is None:
            raise Unauthorized
        if operation.access is Access.ADMIN and not identity.is_admin:
            raise Forbidden
    return identity


def _admit_key(operation: AnyOperation, identity: Identity) -> Identity | None:
    """A key without the scope reads what everybody may read as everybody reads it: without what administrators see."""
    if not operation.open_to_keys:
        raise Forbidden("No API key may do this.")
    if operation.scope in (identity.scopes or ()):
        return identity
    if operation.is_public:
        return None
    raise ScopeMissing(f"This API key lacks the scope {operation.scope}.")


def _required(operation: AnyOperation, field: str) -> bool:
    required: bool = operation.request.model_fields[field].is_required()
    return required
