"""What can be asked of user about second factors, and by whom."""

from contracts.failure import NotFound
from contracts.identity import Access
from contracts.model import Empty
from contracts.operation import Operation, Owned
from contracts.user.accounts import TooManyAttempts
from contracts.user.administration import UserOf
from contracts.user.sessions import InvalidCredentials
from contracts.user.totp import (
    ConfirmTotp,
    DisableTotp,
    InvalidCode,
    PendingTotp,
    RecoveryCodes,
    RenewRecoveryCodes,
    StartTotp,
    TotpOff,
    TotpOn,
    TotpRequired,
)

SERVICE = "user"
ACCOUNT = (Owned("account"),)

START_TOTP = Operation(
    SERVICE,
    "start_totp",
    StartTotp,
    PendingTotp,
    "Have a secret for an authenticator, to be confirmed with a code of it",
    Access.CUSTOMER,
    (NotFound, InvalidCredentials, TooManyAttempts, TotpOn),
    writes=True,
    owned=ACCOUNT,
    confidential=True,
)
CONFIRM_TOTP = Operation(
    SERVICE,
    "confirm_totp",
    ConfirmTotp,
    RecoveryCodes,
    "Turn the second factor on; every other session ends",
    Access.CUSTOMER,
    (NotFound, InvalidCode, TooManyAttempts, TotpOn, TotpOff),
    writes=True,
    owned=ACCOUNT,
    confidential=True,
    noted=True,
)
RENEW_RECOVERY_CODES = Operation(
    SERVICE,
    "renew_recovery_codes",
    RenewRecoveryCodes,
    RecoveryCodes,
    "Have new recovery codes; those before are void",
    Access.CUSTOMER,
    (NotFound, InvalidCode, TooManyAttempts, TotpOff),
    writes=True,
    owned=ACCOUNT,
    confidential=True,
    noted=True,
)
DISABLE_TOTP = Operation(
    SERVICE,
    "disable_totp",
    DisableTotp,
    Empty,
    "Turn the second factor off",
    Access.CUSTOMER,
    (NotFound, InvalidCredentials, InvalidCode, TooManyAttempts, TotpOff, TotpRequired),
    writes=True,
    owned=ACCOUNT,
    confidential=True,
    noted=True,
)
REMOVE_TOTP = Operation(
    SERVICE,
    "remove_totp",
    UserOf,
    Empty,
    "Turn the second factor of an account off whose owner has lost it; their sessions end",
    Access.ADMIN,
    (NotFound,),
    writes=True,
    people_only=True,
)

SECOND_FACTOR = (START_TOTP, CONFIRM_TOTP, RENEW_RECOVERY_CODES, DISABLE_TOTP, REMOVE_TOTP)
