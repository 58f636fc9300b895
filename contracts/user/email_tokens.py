"""Proofs: the single-use tokens that show that somebody reads the mail of an account.

An event names a proof, and notification asks for its token at the moment of sending: neither the token nor the e-mail
is in an event, an outbox or a log.
"""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.event import Event
from contracts.failure import Fail
from contracts.model import Email, Id, Model, Secret, SingleLine, Timestamp
from contracts.user.accounts import EmailAttempt, Password


class InvalidEmailToken(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """This token was used before, has expired, or never was one; ask for a new mail."""


class EmailTokenPurpose(StrEnum):
    """What a proof is good for."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a purpose


EmailTokenSecret = Annotated[Secret, Field(min_length=1, max_length=256)]


class ForgotPassword(Model):
    email: EmailAttempt


class ResetPassword(Model):
    token: EmailTokenSecret
    password: Password


class VerifyEmail(Model):
    token: EmailTokenSecret


class EmailTokenRequest(Model):
    proof_id: Id


class IssuedEmailToken(Model):
    """Whom a token is mailed to, and the token."""

    email: Email
    first_name: SingleLine
    last_name: SingleLine
    token: Secret
    expires_at: Timestamp


class EmailTokenRequested(Model):
    """A mail with a token is to go to the account's address. A later one for the same purpose makes this one void."""

    user_id: Id
    proof_id: Id


class VerificationRequested(EmailTokenRequested, Event, service="user", name="verification_requested", key="user_id"):
    """Somebody is to show that the e-mail of an account is theirs."""


class ResetRequested(EmailTokenRequested, Event, service="user", name="reset_requested", key="user_id"):
    """Somebody has forgotten the password of an account."""


class EmailVerified(Event, service="user", name="email_verified", key="user_id"):
    """The e-mail of an account is its owner's."""

    user_id: Id
