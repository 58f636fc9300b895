"""What can be asked of user, and by whom."""

from contracts.failure import BadCursor, NotFound, PreconditionFailed, TooManyRequests
from contracts.identity import Access
from contracts.model import Empty, Listing, Page
from contracts.operation import OPERATOR, Operation, Owned
from contracts.order import Address
from contracts.user.accounts import (
    ChangePassword,
    Contact,
    ContactOf,
    EmailTaken,
    MakeAdmin,
    Register,
    TooManyAttempts,
    UpdateProfile,
    User,
)
from contracts.user.addresses import AddressOf, CustomersAddress, ReplaceAddress, SavedAddress, TooManyAddresses
from contracts.user.administration import LastAdmin, ListUsers, UpdateUser, UserOf
from contracts.user.api_keys import API_KEYS
from contracts.user.email_tokens import ForgotPassword, InvalidProof, Proof, ProofOf, ResetPassword, VerifyEmail
from contracts.user.privacy import Erasure, ErasureOf, Export, ExportTooLarge
from contracts.user.sessions import (
    InvalidCredentials,
    InvalidRefreshToken,
    Jwks,
    Login,
    Refresh,
    Rotation,
    Session,
    SessionOf,
    SignedIn,
    TokenReused,
)
from contracts.user.totp import InvalidCode, SecondFactorRequired
from contracts.user.totp_operations import SECOND_FACTOR

SERVICE = "user"
ANYONE, CUSTOMER, ADMIN, SERVICES = Access.ANYONE, Access.CUSTOMER, Access.ADMIN, Access.SERVICE
ACCOUNT, SESSIONS, ADDRESSES = (Owned("account"),), (Owned("sessions"),), (Owned("addresses"),)
ONE_SESSION, ONE_ADDRESS = (Owned("session", named="id"),), (Owned("address", named="id"),)

REGISTER = Operation(
    SERVICE,
    "register",
    Register,
    Session,
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
    Session,
    "Sign in",
    ANYONE,
    (InvalidCredentials, TooManyAttempts, SecondFactorRequired, InvalidCode),
    writes=True,
    confidential=True,
    noted=True,
)
REFRESH = Operation(
    SERVICE,
    "refresh",
    Refresh,
    Session,
    "Exchange a refresh token for a new pair",
    ANYONE,
    (InvalidRefreshToken, TokenReused),
    writes=True,
    confidential=True,
)
LOGOUT = Operation(SERVICE, "logout", Refresh, Empty, "End a session and all that came from it", ANYONE, writes=True)
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
    (InvalidProof,),
    writes=True,
    confidential=True,
    noted=True,
)
VERIFY_EMAIL = Operation(
    SERVICE,
    "verify_email",
    VerifyEmail,
    Empty,
    "Show with a mailed token that an e-mail is one's own",
    ANYONE,
    (InvalidProof,),
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
    owned=ACCOUNT,
)
PROFILE = Operation(SERVICE, "profile", Empty, User, "Read one's own account", CUSTOMER, (NotFound,), owned=ACCOUNT)
UPDATE_PROFILE = Operation(
    SERVICE,
    "update_profile",
    UpdateProfile,
    User,
    "Change one's own name",
    CUSTOMER,
    (NotFound, PreconditionFailed),
    writes=True,
    owned=ACCOUNT,
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
    owned=ACCOUNT,
    confidential=True,
    noted=True,
)
EXPORT = Operation(
    SERVICE,
    "export",
    Empty,
    Export,
    "All that is held on oneself, by every service",
    CUSTOMER,
    (NotFound, ExportTooLarge),
    owned=ACCOUNT,
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
    owned=ACCOUNT,
    noted=True,
)
ERASURE = Operation(
    SERVICE, "erasure", ErasureOf, Erasure, "How far an erasure has come: its receipt", ANYONE, (NotFound,)
)
LIST_SESSIONS = Operation(
    SERVICE, "list_sessions", Page, Listing[SignedIn], "Where one is signed in", CUSTOMER, (BadCursor,), owned=SESSIONS
)
END_SESSION = Operation(
    SERVICE,
    "end_session",
    SessionOf,
    Empty,
    "End one of one's sessions",
    CUSTOMER,
    (NotFound,),
    writes=True,
    owned=ONE_SESSION,
)
LIST_ADDRESSES = Operation(
    SERVICE,
    "list_addresses",
    Page,
    Listing[SavedAddress],
    "One's own addresses",
    CUSTOMER,
    (BadCursor,),
    owned=ADDRESSES,
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
    owned=ADDRESSES,
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
    owned=ONE_ADDRESS,
)
REMOVE_ADDRESS = Operation(
    SERVICE,
    "remove_address",
    AddressOf,
    Empty,
    "Remove one of one's addresses",
    CUSTOMER,
    (NotFound,),
    writes=True,
    owned=ONE_ADDRESS,
)
LIST_USERS = Operation(SERVICE, "list", ListUsers, Listing[User], "List accounts", ADMIN, (BadCursor,))
GET_USER = Operation(SERVICE, "get", UserOf, User, "Read an account", ADMIN, (NotFound,))
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
    UserOf,
    User,
    "Close an account to its owner",
    ADMIN,
    (NotFound, LastAdmin),
    writes=True,
    people_only=True,
)
UNBAN = Operation(
    SERVICE, "unban", UserOf, User, "Open an account again", ADMIN, (NotFound,), writes=True, people_only=True
)

JWKS = Operation(SERVICE, "jwks", Empty, Jwks, "Public keys of access tokens", ANYONE)
CONTACT = Operation(
    SERVICE,
    "contact",
    ContactOf,
    Contact,
    "Where a customer is reached",
    SERVICES,
    (NotFound,),
    ("notification",),
)
PROOF = Operation(
    SERVICE,
    "proof",
    ProofOf,
    Proof,
    "A token to be mailed, and to whom",
    SERVICES,
    (NotFound,),
    ("notification",),
    confidential=True,
)
ADDRESS = Operation(
    SERVICE,
    "address",
    CustomersAddress,
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
    Rotation,
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
    *SECOND_FACTOR,
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
    *API_KEYS,
    JWKS,
    CONTACT,
    PROOF,
    ADDRESS,
    ROTATE_KEYS,
    MAKE_ADMIN,
)
