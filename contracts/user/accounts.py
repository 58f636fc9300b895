"""Accounts: the fields of an account, and what is needed to create one."""

import unicodedata
from http import HTTPStatus
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints

from contracts.event import Event
from contracts.failure import Fail
from contracts.identity import Role
from contracts.model import VISIBLE, Email, Id, Model, NonEmptyLine, Secret, SingleLine, StoredEmail, Timestamp

MIN_PASSWORD_BYTES, MAX_PASSWORD_BYTES = 8, 72
MAX_ATTEMPT_LENGTH = 1024
"""Characters of a password as it is typed."""


def compose_password(password: str) -> str:
    """Returns the form in which passwords are compared: NFC (RFC 8265), whichever way a keyboard composes letters."""
    return unicodedata.normalize("NFC", password)


class EmailTaken(Fail, status=HTTPStatus.CONFLICT, code="email_taken"):
    """An account with this e-mail already exists."""


class TooManyAttempts(Fail, status=HTTPStatus.TOO_MANY_REQUESTS, code="too_many_attempts"):
    """Too many failed attempts; wait before trying again."""


def _compose(value: object) -> object:
    """Returns a password in NFC, so that every keyboard's `é` is the same. One that is far too long is left alone."""
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    return compose_password(plain) if isinstance(plain, str) and len(plain) <= MAX_ATTEMPT_LENGTH else value


def _check_password(value: SecretStr) -> SecretStr:
    if not MIN_PASSWORD_BYTES <= len(value.get_secret_value().encode()) <= MAX_PASSWORD_BYTES:
        message = f"A password must have {MIN_PASSWORD_BYTES} to {MAX_PASSWORD_BYTES} bytes in UTF-8."
        raise ValueError(message)
    if "\0" in value.get_secret_value():
        message = "A password must not contain a NUL character"
        raise ValueError(message)
    return value


class WrongPassword(Fail, status=HTTPStatus.FORBIDDEN, code="wrong_password"):
    """This needs your password, and the one sent is wrong."""


Password = Annotated[
    Secret,
    Field(min_length=1, max_length=MAX_PASSWORD_BYTES),
    BeforeValidator(_compose),
    AfterValidator(_check_password),
]
"""A new password in NFC: 8 to 72 bytes in UTF-8, because bcrypt reads no more. user also refuses common passwords and
the account's own e-mail.
"""

PasswordAttempt = Annotated[Secret, Field(max_length=MAX_ATTEMPT_LENGTH)]
"""A password as the user typed it. One of a wrong length is treated as a wrong password, not as an invalid request."""

EmailAttempt = Annotated[SingleLine, StringConstraints(max_length=254)]
"""An e-mail as the user typed it. Text that is not an e-mail is treated as one without an account."""

PersonName = Annotated[NonEmptyLine, StringConstraints(max_length=100), VISIBLE]


class User(Model):
    """An account."""

    id: Id
    email: Annotated[StoredEmail, Field(description="The e-mail to sign in with.")]
    first_name: Annotated[SingleLine, Field(description="Given name.")]
    last_name: Annotated[SingleLine, Field(description="Family name.")]
    role: Role
    is_active: Annotated[bool, Field(description="False while an administrator has banned the account.")]
    email_verified: Annotated[bool, Field(description="Whether the owner has proved that the e-mail is theirs.")]
    totp: Annotated[bool, Field(description="Whether signing in needs a second factor.")] = False
    created_at: Timestamp
    updated_at: Timestamp


class Register(Model):
    """A new account."""

    email: Annotated[Email, Field(description="The e-mail to sign in with.")]
    password: Annotated[Password, Field(description="8 to 72 bytes in UTF-8 and NFC; common passwords are refused.")]
    first_name: Annotated[PersonName, Field(description="Given name.")]
    last_name: Annotated[PersonName, Field(description="Family name.")]


class UpdateProfile(Model):
    """The new name of an account."""

    first_name: Annotated[PersonName, Field(description="Given name.")]
    last_name: Annotated[PersonName, Field(description="Family name.")]


class ChangePassword(Model):
    """The current password and the new one."""

    current_password: Annotated[PasswordAttempt, Field(description="The password in use.")]
    new_password: Annotated[
        Password, Field(description="8 to 72 bytes in UTF-8 and NFC; common passwords are refused.")
    ]


class ContactRequest(Model):
    """Asks for the contact details of a user."""

    user_id: Id


class UserContact(Model):
    """The contact details of a user. notification requests them for each mail; they are never part of an event."""

    email: StoredEmail
    first_name: SingleLine
    last_name: SingleLine
    email_verified: Annotated[bool, Field(description="Whether the owner has proved that the e-mail is theirs.")] = (
        False
    )


class ContactsRequest(Model):
    """Asks for the contact details of several users."""

    user_ids: Annotated[list[Id], Field(min_length=1, max_length=100)]


class KnownContact(UserContact):
    """The contact details of one of several users."""

    user_id: Id


class ContactList(Model):
    """The contact details of the users that exist."""

    items: list[KnownContact]


class AccountQuery(Model):
    """Asks which account has this e-mail."""

    email: StoredEmail


class FoundAccount(Model):
    """The account that was asked for."""

    user_id: Annotated[Id | None, Field(description="The account; null if there is none.")] = None


class MakeAdmin(Model):
    """The e-mail of an administrator. The password is for a new account; an existing account keeps its own."""

    email: Email
    password: Password


class UserRegistered(Event, service="user", name="registered", key="user_id"):
    """An account was created."""

    user_id: Id


class PasswordChanged(Event, service="user", name="password_changed", key="user_id"):
    """The password of an account was changed; its other sessions have ended."""

    user_id: Id
