"""Who is asking, as the edge verified it."""

from enum import StrEnum
from uuid import UUID

from contracts.model import Model


class Role(StrEnum):
    CUSTOMER = "customer"
    ADMIN = "admin"


class Identity(Model):
    """The signed-in user behind an ask. Only the edge and the operator may publish the subjects that trust it."""

    user_id: UUID
    role: Role
    session_id: UUID | None = None
    """The session that the access token is of."""

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN


class Access(StrEnum):
    """Who may use an operation; what belongs to whom is for its handler to say."""

    ANYONE = "anyone"
    CUSTOMER = "customer"
    ADMIN = "admin"
    SERVICE = "service"
