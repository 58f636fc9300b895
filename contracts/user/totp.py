"""A second factor: codes of an authenticator (TOTP, RFC 6238), and recovery codes for whoever has lost it."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.event import Event
from contracts.failure import Fail
from contracts.model import Id, Model, Secret
from contracts.user.accounts import PasswordAttempt

RECOVERY_CODE_COUNT = 10


class SecondFactorRequired(Fail, status=HTTPStatus.UNAUTHORIZED):
    """This account has a second factor: send the code of the authenticator, or a recovery code, along."""


class InvalidCode(Fail, status=HTTPStatus.UNAUTHORIZED):
    """The code is wrong, or was used before."""


class TotpAlreadyOn(Fail, status=HTTPStatus.CONFLICT):
    """This account has a second factor; turn it off first."""


class TotpNotOn(Fail, status=HTTPStatus.CONFLICT):
    """This account has no second factor, and none that waits to be confirmed."""


class TotpRequired(Fail, status=HTTPStatus.CONFLICT):
    """Administrators have a second factor here."""


SecondFactorCode = Annotated[Secret, Field(max_length=128)]
"""Six digits of an authenticator, or a recovery code, as somebody typed it: what is neither is just a wrong code."""


class StartTotp(Model):
    password: PasswordAttempt


class TotpEnrollment(Model):
    """A secret for an authenticator. It counts once a code of it has come back."""

    secret: Annotated[str, Field(repr=False, description="In Base32, to be typed.")]
    uri: Annotated[str, Field(repr=False, description="The same as an `otpauth:` address, to be shown as a QR code.")]


class ConfirmTotp(Model):
    code: SecondFactorCode


class RecoveryCodeList(Model):
    """Each opens the account once, in place of an authenticator's code. They are shown this once."""

    recovery_codes: Annotated[list[str], Field(repr=False)]


class RenewRecoveryCodes(Model):
    code: Annotated[SecondFactorCode, Field(description="Of the authenticator.")]


class DisableTotp(Model):
    password: PasswordAttempt
    code: SecondFactorCode


class TotpEnabled(Event, service="user", name="totp_on", key="user_id"):
    """An account opens with a second factor now; its other sessions are ended."""

    user_id: Id


class TotpDisabled(Event, service="user", name="totp_off", key="user_id"):
    """An account opens with its password alone."""

    user_id: Id
