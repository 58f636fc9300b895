"""Administration: what administrators see and do with other users' accounts."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field, model_validator

from contracts.event import Event
from contracts.failure import Fail
from contracts.identity import Role
from contracts.model import Id, Model, PageParams
from contracts.user.accounts import EmailAttempt, PersonName


class LastAdmin(Fail, status=HTTPStatus.CONFLICT, code="last_admin"):
    """This is the last administrator; appoint another one first."""


class ListUsers(PageParams):
    """Filters of a list of accounts."""

    email: Annotated[EmailAttempt | None, Field(description="Only accounts whose e-mail starts with this.")] = None
    role: Annotated[Role | None, Field(description="Only accounts with this role.")] = None
    is_active: Annotated[bool | None, Field(description="Only accounts that are not banned, or only banned ones.")] = (
        None
    )


class UserRef(Model):
    """Names an account."""

    id: Id


class UpdateUser(Model):
    """The fields to change; the others stay."""

    id: Id
    first_name: Annotated[PersonName | None, Field(description="Given name.")] = None
    last_name: Annotated[PersonName | None, Field(description="Family name.")] = None
    role: Annotated[Role | None, Field(description="The new role.")] = None

    @model_validator(mode="after")
    def _require_a_change(self) -> "UpdateUser":
        if self.first_name is None and self.last_name is None and self.role is None:
            message = "Provide at least one of `first_name`, `last_name` and `role`."
            raise ValueError(message)
        return self


class UserBanned(Event, service="user", name="banned", key="user_id"):
    """An account was banned; all its sessions have ended."""

    user_id: Id


class UserUnbanned(Event, service="user", name="unbanned", key="user_id"):
    """The ban of an account was lifted."""

    user_id: Id


class UserRoleChanged(Event, service="user", name="role_changed", key="user_id"):
    """The role of an account changed; all its sessions have ended."""

    user_id: Id
    role: Role
