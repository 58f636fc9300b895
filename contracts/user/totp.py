"""The second factor: codes of an authenticator app (TOTP, RFC 6238), and recovery codes for when it is lost."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.event import Event
from contracts.failure import Fail
from contracts.model import Id, Model, Secret
from contracts.user.accounts import PasswordAttempt

RECOVERY_CODE_COUNT = 10
"""Recovery codes of one account."""


class SecondFactorRequired(Fail, status=HTTPStatus.UNAUTHORIZED, code="second_factor_required"):
    """This account has a second factor; send `code` with an authenticator code or a recovery code."""


class InvalidCode(Fail, status=HTTPStatus.UNAUTHORIZED, code="invalid_code"):
    """The code is wrong or already used."""


class WrongCode(Fail, status=HTTPStatus.FORBIDDEN, code="wrong_code"):
    """This needs an authenticator code or a recovery code, and the one sent is wrong or already used."""


class TotpAlreadyOn(Fail, status=HTTPStatus.CONFLICT, code="totp_on"):
    """This account already has a second factor; turn it off first."""


class TotpNotOn(Fail, status=HTTPStatus.CONFLICT, code="totp_off"):
    """This account has no second factor, and none waiting for confirmation."""


class TotpRequired(Fail, status=HTTPStatus.CONFLICT, code="totp_required"):
    """Administrators of this shop must have a second factor."""


SecondFactorCode = Annotated[Secret, Field(max_length=128)]
"""An authenticator code or a recovery code as the user typed it. Text that is neither is treated as a wrong code."""


class StartTotp(Model):
    """The account's password."""

    password: Annotated[PasswordAttempt, Field(description="The password in use.")]


class TotpEnrollment(Model):
    """A secret for an authenticator app. The second factor is on once a code made from it is confirmed."""

    secret: Annotated[str, Field(repr=False, description="The secret in Base32, for typing.")]
    uri: Annotated[str, Field(repr=False, description="The secret as an `otpauth:` URI, for a QR code.")]


class ConfirmTotp(Model):
    """A code of the authenticator app."""

    code: Annotated[SecondFactorCode, Field(description="The six digits that the app shows.")]


class RecoveryCodeList(Model):
    """Codes that each replace an authenticator code once. They are never shown again."""

    recovery_codes: Annotated[list[str], Field(repr=False, description="Keep them in a safe place.")]


class RenewRecoveryCodes(Model):
    """A code of the authenticator app."""

    code: Annotated[SecondFactorCode, Field(description="The six digits that the app shows.")]


class DisableTotp(Model):
    """The account's password and a code."""

    password: Annotated[PasswordAttempt, Field(description="The password in use.")]
    code: Annotated[SecondFactorCode, Field(description="An authenticator code or a recovery code.")]


class TotpEnabled(Event, service="user", name="totp_on", key="user_id"):
    """The second factor of an account was turned on; its other sessions have ended."""

    user_id: Id


class TotpDisabled(Event, service="user", name="totp_off", key="user_id"):
    """The second factor of an account was turned off."""

    user_id: Id
