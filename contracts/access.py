"""Access rules: which caller may use which operation, and how each other caller is refused.

An operation states who may use it (`access`), who may publish its subject (`callers`) and whose resources it works on
(`owned_resources`). The rules in this module follow from these three. The services enforce the rules, the documentation
shows them, and a test checks them for every route.

An API key belongs to a machine, not to an account. Within its scopes it may do what an administrator may do with other
users' resources, and it may read what is public. It owns nothing. Operations for people only (`people_only`) stay
closed to every key.

A guest's order has a token, which the guest sends with requests about that order and its payments. The token opens that
order and nothing else, whether or not its sender is signed in. Any other token is refused like the token of an order
that does not exist.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from contracts.failure import Fail, Forbidden, NotFound, ScopeMissing, Unauthorized
from contracts.identity import Access, Identity
from contracts.operation import EDGE, AnyOperation, OwnedResource


class CallerKind(StrEnum):
    """Kinds of HTTP callers. `OWNER` and `OTHER_CUSTOMER` are customers: one owns the resource, the other does not."""

    ANONYMOUS = "anonymous"
    OWNER = "owner"
    OTHER_CUSTOMER = "another customer"
    ADMIN = "administrator"
    API_KEY = "API key"
    """A machine whose key has the scope that the operation needs."""
    GUEST = "guest with the order's token"
    OTHER_GUEST = "guest with another token"


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Access to one operation and, if it works on an owned resource, to that resource."""

    operation: AnyOperation
    resource: OwnedResource | None = None

    def refusal(self, caller: CallerKind) -> type[Fail] | None:
        """Returns the failure that refuses the caller, or None if the caller is allowed."""
        if caller is CallerKind.API_KEY:
            return None if self.operation.open_to_api_keys or self.operation.ignores_tokens else Forbidden
        if caller in (CallerKind.GUEST, CallerKind.OTHER_GUEST) and self._is_open_to_token:
            return None if caller is CallerKind.GUEST else NotFound
        if caller in (CallerKind.ANONYMOUS, CallerKind.GUEST, CallerKind.OTHER_GUEST):
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
    def _is_open_to_token(self) -> bool:
        return self.resource is not None and self.resource.open_to_order_tokens

    @property
    def needs_scope(self) -> bool:
        """Whether an API key is allowed, but only with the operation's scope."""
        return self.operation.open_to_api_keys and not self.operation.is_public

    @property
    def id_field(self) -> str:
        """The request field that names the owned resource; empty if there is none."""
        return self.resource.id_field if self.resource else ""

    def describe(self, caller: CallerKind) -> str:
        """Returns what the access table shows for the caller."""
        refusal = self.refusal(caller)
        if refusal is not None:
            return f"{int(refusal.status)} {refusal.code}"
        if caller is CallerKind.API_KEY and self.needs_scope:
            return f"`{self.operation.scope}`"
        if self.resource is None or self.id_field:
            return "yes"
        if caller is CallerKind.GUEST and self._is_open_to_token:
            return "the order's"
        return "all users'" if caller is CallerKind.ADMIN and self.resource.open_to_admins else "their own"


def access_rules(operation: AnyOperation) -> Iterator[AccessRule]:
    """Yields the rules of an operation that the edge calls.

    If every field that names a resource is optional, the first rule covers requests that name none.
    """
    assert EDGE in operation.callers, f"{operation.subject} is not open to the edge"
    assert operation.access is not Access.CUSTOMER or operation.owned_resources, (
        f"{operation.subject} is for customers and must state its owned resources"
    )
    if all(one.id_field and not _is_required(operation, one.id_field) for one in operation.owned_resources):
        yield AccessRule(operation)
    for one in operation.owned_resources:
        yield AccessRule(operation, one)


def authorize(operation: AnyOperation, identity: Identity | None, *, has_order_token: bool = False) -> Identity | None:
    """Returns the identity that the operation may see; raises a `Fail` if the caller may not use the operation.

    The edge checks this first, to refuse early; the service always checks it again. Whether the token that a guest
    sends is that of the order is checked by the operation's handler.
    """
    if identity is not None and identity.scopes is not None:
        return _authorize_api_key(operation, identity)
    if operation.access in (Access.CUSTOMER, Access.ADMIN):
        if identity is None:
            if has_order_token and operation.open_to_order_tokens:
                return None
            raise Unauthorized
        if operation.access is Access.ADMIN and not identity.is_admin:
            raise Forbidden
    return identity


def _authorize_api_key(operation: AnyOperation, identity: Identity) -> Identity | None:
    """A key without the scope reads public resources as an anonymous caller, without what only administrators see."""
    if not operation.open_to_api_keys:
        raise Forbidden("This operation is not open to API keys. Sign in with a user account.")
    if operation.scope in (identity.scopes or ()):
        return identity
    if operation.is_public:
        return None
    raise ScopeMissing(f"This API key needs the scope `{operation.scope}`.")


def _is_required(operation: AnyOperation, field: str) -> bool:
    required: bool = operation.request.model_fields[field].is_required()
    return required
