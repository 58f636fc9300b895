"""The operations of user."""

from contracts.failure import InvalidCursor, NotFound, PreconditionFailed, TooManyRequests
from contracts.identity import Access
from contracts.model import Empty, ListPage, PageParams
from contracts.operation import OPERATOR, Operation, OwnedResource
from contracts.user.accounts import (
    AccountQuery,
    ChangePassword,
    ContactList,
    ContactRequest,
    ContactsRequest,
    EmailTaken,
    FoundAccount,
    MakeAdmin,
    Register,
    TooManyAttempts,
    UpdateProfile,
    User,
    UserContact,
)
from contracts.user.addresses import ADDRESS_OPERATIONS
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
from contracts.user.privacy import PRIVACY_OPERATIONS
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
ANYONE, CUSTOMER, ADMIN, INTERNAL = Access.ANYONE, Access.CUSTOMER, Access.ADMIN, Access.SERVICE
OWN_ACCOUNT, OWN_SESSIONS = (OwnedResource("account"),), (OwnedResource("sessions"),)
SESSION_BY_ID = (OwnedResource("session", id_field="id"),)

REGISTER = Operation(
    SERVICE,
    "register",
    Register,
    SessionTokens,
    "Create an account and sign in",
    ANYONE,
    (EmailTaken, TooManyRequests, TooManyAttempts),
    writes=True,
    confidential=True,
    ignores_tokens=True,
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
    ignores_tokens=True,
)
REFRESH = Operation(
    SERVICE,
    "refresh",
    RefreshTokenRequest,
    SessionTokens,
    "Exchange a refresh token for new tokens",
    ANYONE,
    (InvalidRefreshToken, TokenReused),
    writes=True,
    confidential=True,
    ignores_tokens=True,
)
LOGOUT = Operation(
    SERVICE,
    "logout",
    RefreshTokenRequest,
    Empty,
    "Sign out: end the session of a refresh token",
    ANYONE,
    writes=True,
    ignores_tokens=True,
)
FORGOT_PASSWORD = Operation(
    SERVICE,
    "forgot_password",
    ForgotPassword,
    Empty,
    "Request a mail with a token to set a new password",
    ANYONE,
    (TooManyAttempts,),
    writes=True,
    confidential=True,
    ignores_tokens=True,
)
RESET_PASSWORD = Operation(
    SERVICE,
    "reset_password",
    ResetPassword,
    Empty,
    "Set a new password with a mailed token; all sessions end",
    ANYONE,
    (InvalidEmailToken,),
    writes=True,
    confidential=True,
    audited=True,
    ignores_tokens=True,
)
VERIFY_EMAIL = Operation(
    SERVICE,
    "verify_email",
    VerifyEmail,
    Empty,
    "Verify an e-mail with a mailed token",
    ANYONE,
    (InvalidEmailToken,),
    writes=True,
    confidential=True,
    ignores_tokens=True,
)
REQUEST_VERIFICATION = Operation(
    SERVICE,
    "request_verification",
    Empty,
    Empty,
    "Request another mail to verify one's e-mail",
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
LIST_SESSIONS = Operation(
    SERVICE,
    "list_sessions",
    PageParams,
    ListPage[UserSession],
    "List one's own sessions",
    CUSTOMER,
    (InvalidCursor,),
    owned_resources=OWN_SESSIONS,
)
END_SESSION = Operation(
    SERVICE,
    "end_session",
    SessionRef,
    Empty,
    "End one of one's own sessions",
    CUSTOMER,
    (NotFound,),
    writes=True,
    owned_resources=SESSION_BY_ID,
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
    "Ban an account",
    ADMIN,
    (NotFound, LastAdmin),
    writes=True,
    people_only=True,
)
UNBAN = Operation(
    SERVICE, "unban", UserRef, User, "Lift the ban of an account", ADMIN, (NotFound,), writes=True, people_only=True
)

JWKS = Operation(SERVICE, "jwks", Empty, Jwks, "Read the public keys that verify access tokens", ANYONE)
CONTACT = Operation(
    SERVICE,
    "contact",
    ContactRequest,
    UserContact,
    "Read the contact details of a user",
    INTERNAL,
    (NotFound,),
    ("notification", "order"),
)
CONTACTS = Operation(
    SERVICE,
    "contacts",
    ContactsRequest,
    ContactList,
    "Read the contact details of several users",
    INTERNAL,
    callers=("notification",),
)
FIND_ACCOUNT = Operation(
    SERVICE,
    "find_account",
    AccountQuery,
    FoundAccount,
    "Find the account that has an e-mail",
    INTERNAL,
    callers=("order",),
)
PROOF = Operation(
    SERVICE,
    "proof",
    EmailTokenRequest,
    IssuedEmailToken,
    "Read a token to mail, and its recipient",
    INTERNAL,
    (NotFound,),
    ("notification",),
    confidential=True,
)
ROTATE_KEYS = Operation(
    SERVICE,
    "rotate_keys",
    Empty,
    KeyRotation,
    "Sign access tokens with a new key",
    INTERNAL,
    callers=(OPERATOR,),
    writes=True,
)
MAKE_ADMIN = Operation(
    SERVICE,
    "make_admin",
    MakeAdmin,
    User,
    "Create an administrator's account, unless it exists",
    INTERNAL,
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
    *TOTP_OPERATIONS,
    LIST_SESSIONS,
    END_SESSION,
    LIST_USERS,
    GET_USER,
    UPDATE_USER,
    BAN,
    UNBAN,
    *API_KEY_OPERATIONS,
    *ADDRESS_OPERATIONS,
    *PRIVACY_OPERATIONS,
    JWKS,
    CONTACT,
    CONTACTS,
    FIND_ACCOUNT,
    PROOF,
    ROTATE_KEYS,
    MAKE_ADMIN,
)
