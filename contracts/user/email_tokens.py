"""E-mail tokens: single-use tokens which prove that their user reads the mail of an account.

An event carries only the id of a token. notification requests the token itself when it sends the mail, so neither the
token nor the e-mail is ever in an event, an outbox or a log.
"""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.event import Event
from contracts.failure import Fail
from contracts.model import Id, Model, Secret, SingleLine, StoredEmail, Timestamp
from contracts.user.accounts import EmailAttempt, Password


class InvalidEmailToken(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="invalid_proof"):
    """The token is invalid, expired or already used; request a new mail."""


class EmailTokenPurpose(StrEnum):
    """What a token is for."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a purpose


EmailTokenSecret = Annotated[Secret, Field(min_length=1, max_length=256)]


class ForgotPassword(Model):
    """The account whose password is forgotten."""

    email: Annotated[EmailAttempt, Field(description="The e-mail of the account.")]


class ResetPassword(Model):
    """The mailed token and the new password."""

    token: Annotated[EmailTokenSecret, Field(description="The token from the mail.")]
    password: Annotated[Password, Field(description="8 to 72 bytes in UTF-8 and NFC; common passwords are refused.")]


class VerifyEmail(Model):
    """The mailed token."""

    token: Annotated[EmailTokenSecret, Field(description="The token from the mail.")]


class EmailTokenRequest(Model):
    """Asks for a token by its id."""

    proof_id: Id


class IssuedEmailToken(Model):
    """A token, and where to mail it."""

    email: StoredEmail
    first_name: SingleLine
    last_name: SingleLine
    token: Secret
    expires_at: Timestamp
    email_verified: Annotated[bool, Field(description="Whether the owner has proved that the e-mail is theirs.")] = (
        False
    )


class EmailTokenRequested(Model):
    """Asks for a mail with a token to the account's e-mail. A later token for the same purpose replaces this one."""

    user_id: Id
    proof_id: Id


class VerificationRequested(EmailTokenRequested, Event, service="user", name="verification_requested", key="user_id"):
    """The owner of an account is asked to verify its e-mail."""


class ResetRequested(EmailTokenRequested, Event, service="user", name="reset_requested", key="user_id"):
    """A reset of an account's password was requested."""


class EmailVerified(Event, service="user", name="email_verified", key="user_id"):
    """The e-mail of an account was verified."""

    user_id: Id
