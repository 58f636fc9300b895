"""Administration: what an administrator sees and does of other people's accounts."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field, model_validator

from contracts.event import Event
from contracts.failure import Fail
from contracts.identity import Role
from contracts.model import Id, Model, PageParams
from contracts.user.accounts import EmailAttempt, PersonName


class LastAdmin(Fail, status=HTTPStatus.CONFLICT):
    """This is the last administrator; make another one first."""


class ListUsers(PageParams):
    email: Annotated[EmailAttempt | None, Field(description="How the e-mail begins.")] = None
    role: Role | None = None
    is_active: bool | None = None


class UserRef(Model):
    id: Id


class UpdateUser(Model):
    """What is not said stays."""

    id: Id
    first_name: PersonName | None = None
    last_name: PersonName | None = None
    role: Role | None = None

    @model_validator(mode="after")
    def _require_a_change(self) -> "UpdateUser":
        if self.first_name is None and self.last_name is None and self.role is None:
            message = "says a first_name, a last_name or a role"
            raise ValueError(message)
        return self


class UserBanned(Event, service="user", name="banned", key="user_id"):
    """An account is closed to its owner; all its sessions are ended."""

    user_id: Id


class UserUnbanned(Event, service="user", name="unbanned", key="user_id"):
    """An account is open to its owner again."""

    user_id: Id


class UserRoleChanged(Event, service="user", name="role_changed", key="user_id"):
    """Somebody may do more, or less, than before; all their sessions are ended."""

    user_id: Id
    role: Role
