"""What can be asked of user, and by whom."""

from contracts.failure import InvalidCursor, NotFound, PreconditionFailed, TooManyRequests
from contracts.identity import Access
from contracts.model import Empty, ListPage, PageParams
from contracts.operation import OPERATOR, Operation, OwnedResource
from contracts.order import Address
from contracts.user.accounts import (
    ChangePassword,
    ContactRequest,
    EmailTaken,
    MakeAdmin,
    Register,
    TooManyAttempts,
    UpdateProfile,
    User,
    UserContact,
)
from contracts.user.addresses import AddressRef, CustomerAddressRef, ReplaceAddress, SavedAddress, TooManyAddresses
from contracts.user.administration import LastAdmin, ListUsers, UpdateUser, UserRef
from contracts.user.api_keys import API_KEY_OPERATIONS
from contracts.user.email_tokens import (
    EmailTokenRequest,
    ForgotPassword,
    InvalidEmailToken,
    IssuedEmailToken,
    ResetPassword,
    VerifyEmail,
)
from contracts.user.privacy import DataExport, Erasure, ErasureRef, ExportTooLarge
from contracts.user.sessions import (
    InvalidCredentials,
    InvalidRefreshToken,
    Jwks,
    KeyRotation,
    Login,
    RefreshTokenRequest,
    SessionRef,
    SessionTokens,
    TokenReused,
    UserSession,
)
from contracts.user.totp import InvalidCode, SecondFactorRequired
from contracts.user.totp_operations import TOTP_OPERATIONS

SERVICE = "user"
ANYONE, CUSTOMER, ADMIN, SERVICES = Access.ANYONE, Access.CUSTOMER, Access.ADMIN, Access.SERVICE
OWN_ACCOUNT, OWN_SESSIONS, OWN_ADDRESSES = (
    (OwnedResource("account"),),
    (OwnedResource("sessions"),),
    (OwnedResource("addresses"),),
)
SESSION_BY_ID, ADDRESS_BY_ID = (OwnedResource("session", id_field="id"),), (OwnedResource("address", id_field="id"),)

REGISTER = Operation(
    SERVICE,
    "register",
    Register,
    SessionTokens,
    "Open an account",
    ANYONE,
    (EmailTaken, TooManyRequests, TooManyAttempts),
    writes=True,
    confidential=True,
)
LOGIN = Operation(
    SERVICE,
    "login",
    Login,
    SessionTokens,
    "Sign in",
    ANYONE,
    (InvalidCredentials, TooManyAttempts, SecondFactorRequired, InvalidCode),
    writes=True,
    confidential=True,
    audited=True,
)
REFRESH = Operation(
    SERVICE,
    "refresh",
    RefreshTokenRequest,
    SessionTokens,
    "Exchange a refresh token for a new pair",
    ANYONE,
    (InvalidRefreshToken, TokenReused),
    writes=True,
    confidential=True,
)
LOGOUT = Operation(
    SERVICE, "logout", RefreshTokenRequest, Empty, "End a session and all that came from it", ANYONE, writes=True
)
FORGOT_PASSWORD = Operation(
    SERVICE,
    "forgot_password",
    ForgotPassword,
    Empty,
    "Have a token mailed that sets a new password",
    ANYONE,
    (TooManyAttempts,),
    writes=True,
    confidential=True,
)
RESET_PASSWORD = Operation(
    SERVICE,
    "reset_password",
    ResetPassword,
    Empty,
    "Set a new password with a mailed token; every session ends",
    ANYONE,
    (InvalidEmailToken,),
    writes=True,
    confidential=True,
    audited=True,
)
VERIFY_EMAIL = Operation(
    SERVICE,
    "verify_email",
    VerifyEmail,
    Empty,
    "Show with a mailed token that an e-mail is one's own",
    ANYONE,
    (InvalidEmailToken,),
    writes=True,
    confidential=True,
)
REQUEST_VERIFICATION = Operation(
    SERVICE,
    "request_verification",
    Empty,
    Empty,
    "Have the token that verifies one's e-mail mailed again",
    CUSTOMER,
    (NotFound, TooManyAttempts),
    writes=True,
    owned_resources=OWN_ACCOUNT,
)
PROFILE = Operation(
    SERVICE, "profile", Empty, User, "Read one's own account", CUSTOMER, (NotFound,), owned_resources=OWN_ACCOUNT
)
UPDATE_PROFILE = Operation(
    SERVICE,
    "update_profile",
    UpdateProfile,
    User,
    "Change one's own name",
    CUSTOMER,
    (NotFound, PreconditionFailed),
    writes=True,
    owned_resources=OWN_ACCOUNT,
)
CHANGE_PASSWORD = Operation(
    SERVICE,
    "change_password",
    ChangePassword,
    Empty,
    "Change one's own password; every other session ends",
    CUSTOMER,
    (NotFound, InvalidCredentials, TooManyAttempts),
    writes=True,
    owned_resources=OWN_ACCOUNT,
    confidential=True,
    audited=True,
)
EXPORT = Operation(
    SERVICE,
    "export",
    Empty,
    DataExport,
    "All that is held on oneself, by every service",
    CUSTOMER,
    (NotFound, ExportTooLarge),
    owned_resources=OWN_ACCOUNT,
)
ERASE = Operation(
    SERVICE,
    "erase",
    Empty,
    Erasure,
    "Close one's account and have all that is held on oneself erased; orders stay, without who placed them",
    CUSTOMER,
    (NotFound, LastAdmin),
    writes=True,
    owned_resources=OWN_ACCOUNT,
    audited=True,
)
ERASURE = Operation(
    SERVICE, "erasure", ErasureRef, Erasure, "How far an erasure has come: its receipt", ANYONE, (NotFound,)
)
LIST_SESSIONS = Operation(
    SERVICE,
    "list_sessions",
    PageParams,
    ListPage[UserSession],
    "Where one is signed in",
    CUSTOMER,
    (InvalidCursor,),
    owned_resources=OWN_SESSIONS,
)
END_SESSION = Operation(
    SERVICE,
    "end_session",
    SessionRef,
    Empty,
    "End one of one's sessions",
    CUSTOMER,
    (NotFound,),
    writes=True,
    owned_resources=SESSION_BY_ID,
)
LIST_ADDRESSES = Operation(
    SERVICE,
    "list_addresses",
    PageParams,
    ListPage[SavedAddress],
    "One's own addresses",
    CUSTOMER,
    (InvalidCursor,),
    owned_resources=OWN_ADDRESSES,
)
ADD_ADDRESS = Operation(
    SERVICE,
    "add_address",
    Address,
    SavedAddress,
    "Keep an address",
    CUSTOMER,
    (NotFound, TooManyAddresses),
    writes=True,
    owned_resources=OWN_ADDRESSES,
)
REPLACE_ADDRESS = Operation(
    SERVICE,
    "replace_address",
    ReplaceAddress,
    SavedAddress,
    "Replace one of one's addresses",
    CUSTOMER,
    (NotFound,),
    writes=True,
    owned_resources=ADDRESS_BY_ID,
)
REMOVE_ADDRESS = Operation(
    SERVICE,
    "remove_address",
    AddressRef,
    Empty,
    "Remove one of one's addresses",
    CUSTOMER,
    (NotFound,),
    writes=True,
    owned_resources=ADDRESS_BY_ID,
)
LIST_USERS = Operation(SERVICE, "list", ListUsers, ListPage[User], "List accounts", ADMIN, (InvalidCursor,))
GET_USER = Operation(SERVICE, "get", UserRef, User, "Read an account", ADMIN, (NotFound,))
UPDATE_USER = Operation(
    SERVICE,
    "update",
    UpdateUser,
    User,
    "Change the name or the role of an account",
    ADMIN,
    (NotFound, PreconditionFailed, LastAdmin),
    writes=True,
    people_only=True,
)
BAN = Operation(
    SERVICE,
    "ban",
    UserRef,
    User,
    "Close an account to its owner",
    ADMIN,
    (NotFound, LastAdmin),
    writes=True,
    people_only=True,
)
UNBAN = Operation(
    SERVICE, "unban", UserRef, User, "Open an account again", ADMIN, (NotFound,), writes=True, people_only=True
)

JWKS = Operation(SERVICE, "jwks", Empty, Jwks, "Public keys of access tokens", ANYONE)
CONTACT = Operation(
    SERVICE,
    "contact",
    ContactRequest,
    UserContact,
    "Where a customer is reached",
    SERVICES,
    (NotFound,),
    ("notification",),
)
PROOF = Operation(
    SERVICE,
    "proof",
    EmailTokenRequest,
    IssuedEmailToken,
    "A token to be mailed, and to whom",
    SERVICES,
    (NotFound,),
    ("notification",),
    confidential=True,
)
ADDRESS = Operation(
    SERVICE,
    "address",
    CustomerAddressRef,
    SavedAddress,
    "One of a customer's addresses",
    SERVICES,
    (NotFound,),
    ("order",),
)
ROTATE_KEYS = Operation(
    SERVICE,
    "rotate_keys",
    Empty,
    KeyRotation,
    "Sign access tokens with a new key",
    SERVICES,
    callers=(OPERATOR,),
    writes=True,
)
MAKE_ADMIN = Operation(
    SERVICE,
    "make_admin",
    MakeAdmin,
    User,
    "Make an administrator's account, once",
    SERVICES,
    callers=(OPERATOR,),
    writes=True,
)

OPERATIONS = (
    REGISTER,
    LOGIN,
    REFRESH,
    LOGOUT,
    FORGOT_PASSWORD,
    RESET_PASSWORD,
    VERIFY_EMAIL,
    REQUEST_VERIFICATION,
    PROFILE,
    UPDATE_PROFILE,
    CHANGE_PASSWORD,
    EXPORT,
    ERASE,
    ERASURE,
    *TOTP_OPERATIONS,
    LIST_SESSIONS,
    END_SESSION,
    LIST_ADDRESSES,
    ADD_ADDRESS,
    REPLACE_ADDRESS,
    REMOVE_ADDRESS,
    LIST_USERS,
    GET_USER,
    UPDATE_USER,
    BAN,
    UNBAN,
    *API_KEY_OPERATIONS,
    JWKS,
    CONTACT,
    PROOF,
    ADDRESS,
    ROTATE_KEYS,
    MAKE_ADMIN,
)
