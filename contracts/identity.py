"""Who is asking, as the edge verified it."""

from enum import StrEnum
from uuid import UUID

from contracts.model import Model


class Role(StrEnum):
    CUSTOMER = "customer"
    ADMIN = "admin"


class ApiKeyScope(StrEnum):
    """What an API key may be for: to read a service's things, or to change them.

    None changes accounts: that is for people, so that a stolen key makes nobody an administrator.
    """

    USER_READ = "user:read"
    CATALOG_READ = "catalog:read"
    CATALOG_WRITE = "catalog:write"
    ORDER_READ = "order:read"
    ORDER_WRITE = "order:write"
    PAYMENT_READ = "payment:read"
    PAYMENT_WRITE = "payment:write"
    NOTIFICATION_READ = "notification:read"


class Identity(Model):
    """The signed-in user behind an ask. Only the edge and the operator may publish the subjects that trust it."""

    user_id: UUID
    role: Role
    session_id: UUID | None = None
    """The session that the access token is of."""
    scopes: tuple[ApiKeyScope, ...] | None = None
    """A machine's: it may what an administrator may, within these, and both ids are its API key's. None of a person."""

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN


class Access(StrEnum):
    """Who may use an operation; what belongs to whom is for its handler to say."""

    ANYONE = "anyone"
    CUSTOMER = "customer"
    ADMIN = "admin"
    SERVICE = "service"
