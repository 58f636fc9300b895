"""The caller's identity as the edge verified it, and the levels of access."""

from enum import StrEnum
from uuid import UUID

from contracts.model import Model


class Role(StrEnum):
    """The role of an account."""

    CUSTOMER = "customer"
    ADMIN = "admin"


class ApiKeyScope(StrEnum):
    """What an API key may do: read a service's resources, change them, or read the events of all services.

    No scope changes accounts, so a stolen key cannot create an administrator.
    """

    USER_READ = "user:read"
    CATALOG_READ = "catalog:read"
    CATALOG_WRITE = "catalog:write"
    ORDER_READ = "order:read"
    ORDER_WRITE = "order:write"
    PAYMENT_READ = "payment:read"
    PAYMENT_WRITE = "payment:write"
    NOTIFICATION_READ = "notification:read"
    EVENT_READ = "event:read"


class Identity(Model):
    """The signed-in user, or the API key, behind a request.

    Only the edge and the operator may publish the subjects that trust an identity.
    """

    user_id: UUID
    role: Role
    session_id: UUID | None = None
    """The session that the access token belongs to."""
    scopes: tuple[ApiKeyScope, ...] | None = None
    """Set for an API key only: within these scopes it may do what an administrator may, and both ids are the key's."""

    @property
    def is_admin(self) -> bool:
        """Whether this is an administrator."""
        return self.role is Role.ADMIN


class Access(StrEnum):
    """Who may use an operation. Who owns which resource is checked by the operation's handler."""

    ANYONE = "anyone"
    CUSTOMER = "customer"
    ADMIN = "admin"
    SERVICE = "service"
