"""Accounts: who has one, and what it takes to open it."""

from http import HTTPStatus
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from contracts.event import Event
from contracts.failure import Fail
from contracts.identity import Role
from contracts.model import Email, Id, Model, NonEmptyLine, Secret, SingleLine, Timestamp

MIN_PASSWORD_BYTES, MAX_PASSWORD_BYTES = 8, 72


class EmailTaken(Fail, status=HTTPStatus.CONFLICT):
    """There is an account with this e-mail already."""


class TooManyAttempts(Fail, status=HTTPStatus.TOO_MANY_REQUESTS):
    """Too many failed attempts; wait before trying again."""


def _check_password(value: SecretStr) -> SecretStr:
    if not MIN_PASSWORD_BYTES <= len(value.get_secret_value().encode()) <= MAX_PASSWORD_BYTES:
        message = f"has between {MIN_PASSWORD_BYTES} and {MAX_PASSWORD_BYTES} bytes"
        raise ValueError(message)
    if "\0" in value.get_secret_value():
        message = "has no NUL character"
        raise ValueError(message)
    return value


Password = Annotated[Secret, Field(min_length=1, max_length=MAX_PASSWORD_BYTES), AfterValidator(_check_password)]
"""8 to 72 bytes in UTF-8: bcrypt reads no more. Not the e-mail, and none of those that everybody tries first."""

PasswordAttempt = Annotated[Secret, Field(max_length=1024)]
"""A password as somebody typed it; a wrong length is just a wrong password."""

EmailAttempt = Annotated[SingleLine, StringConstraints(max_length=254)]
"""An e-mail as somebody typed it; what is none has no account."""

PersonName = Annotated[NonEmptyLine, StringConstraints(max_length=100)]


class User(Model):
    id: Id
    email: Email
    first_name: SingleLine
    last_name: SingleLine
    role: Role
    is_active: bool
    email_verified: bool
    totp: Annotated[bool, Field(description="Whether signing in needs a second factor.")] = False
    created_at: Timestamp
    updated_at: Timestamp


class Register(Model):
    email: Email
    password: Password
    first_name: PersonName
    last_name: PersonName


class UpdateProfile(Model):
    first_name: PersonName
    last_name: PersonName


class ChangePassword(Model):
    current_password: PasswordAttempt
    new_password: Password


class ContactRequest(Model):
    user_id: Id


class UserContact(Model):
    """Where a customer is reached. It is asked for when a mail is sent, never kept in an event."""

    email: Email
    first_name: SingleLine
    last_name: SingleLine


class MakeAdmin(Model):
    """The password is for a new account; one that is there keeps its own."""

    email: Email
    password: Password


class UserRegistered(Event, service="user", name="registered", key="user_id"):
    """Somebody opened an account."""

    user_id: Id


class PasswordChanged(Event, service="user", name="password_changed", key="user_id"):
    """An account opens with another password now; its other sessions are ended."""

    user_id: Id
