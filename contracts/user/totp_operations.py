"""The operations of user on second factors."""

from contracts.failure import NotFound
from contracts.identity import Access
from contracts.model import Empty
from contracts.operation import Operation, OwnedResource
from contracts.user.accounts import TooManyAttempts
from contracts.user.administration import UserRef
from contracts.user.sessions import InvalidCredentials
from contracts.user.totp import (
    ConfirmTotp,
    DisableTotp,
    InvalidCode,
    RecoveryCodeList,
    RenewRecoveryCodes,
    StartTotp,
    TotpAlreadyOn,
    TotpEnrollment,
    TotpNotOn,
    TotpRequired,
)

SERVICE = "user"
OWN_ACCOUNT = (OwnedResource("account"),)

START_TOTP = Operation(
    SERVICE,
    "start_totp",
    StartTotp,
    TotpEnrollment,
    "Start setting up an authenticator app as a second factor",
    Access.CUSTOMER,
    (NotFound, InvalidCredentials, TooManyAttempts, TotpAlreadyOn),
    writes=True,
    owned_resources=OWN_ACCOUNT,
    confidential=True,
)
CONFIRM_TOTP = Operation(
    SERVICE,
    "confirm_totp",
    ConfirmTotp,
    RecoveryCodeList,
    "Confirm the authenticator app and turn the second factor on; every other session ends",
    Access.CUSTOMER,
    (NotFound, InvalidCode, TooManyAttempts, TotpAlreadyOn, TotpNotOn),
    writes=True,
    owned_resources=OWN_ACCOUNT,
    confidential=True,
    audited=True,
)
RENEW_RECOVERY_CODES = Operation(
    SERVICE,
    "renew_recovery_codes",
    RenewRecoveryCodes,
    RecoveryCodeList,
    "Replace the recovery codes; the old ones stop working",
    Access.CUSTOMER,
    (NotFound, InvalidCode, TooManyAttempts, TotpNotOn),
    writes=True,
    owned_resources=OWN_ACCOUNT,
    confidential=True,
    audited=True,
)
DISABLE_TOTP = Operation(
    SERVICE,
    "disable_totp",
    DisableTotp,
    Empty,
    "Turn the second factor off",
    Access.CUSTOMER,
    (NotFound, InvalidCredentials, InvalidCode, TooManyAttempts, TotpNotOn, TotpRequired),
    writes=True,
    owned_resources=OWN_ACCOUNT,
    confidential=True,
    audited=True,
)
REMOVE_TOTP = Operation(
    SERVICE,
    "remove_totp",
    UserRef,
    Empty,
    "Turn off the second factor of a user who has lost it; their sessions end",
    Access.ADMIN,
    (NotFound,),
    writes=True,
    people_only=True,
)

TOTP_OPERATIONS = (START_TOTP, CONFIRM_TOTP, RENEW_RECOVERY_CODES, DISABLE_TOTP, REMOVE_TOTP)
