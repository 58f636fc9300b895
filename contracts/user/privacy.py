"""Export and erasure of an account's data."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.catalog import Review
from contracts.event import Event
from contracts.failure import Fail, NotFound
from contracts.identity import Access
from contracts.model import Empty, Id, Model, Timestamp
from contracts.notification import Notification
from contracts.operation import Operation, OwnedResource
from contracts.order import IssuedInvoice, Order
from contracts.payment import Payment
from contracts.privacy import ExportedCart
from contracts.text_patterns import text_format
from contracts.user.accounts import PasswordAttempt, TooManyAttempts, User, WrongPassword
from contracts.user.addresses import SavedAddress
from contracts.user.administration import LastAdmin
from contracts.user.api_keys import ApiKey
from contracts.user.sessions import UserSession
from contracts.user.totp import SecondFactorCode, WrongCode

SERVICE = "user"


class ExportTooLarge(Fail, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, code="export_too_large"):
    """The export is too large for one response; read orders, payments and notifications page by page."""


class DataExport(Model):
    """All data that the services hold on a user, including guest orders with the verified e-mail."""

    id: Annotated[Id, Field(description="The id of the account.")]
    made_at: Annotated[Timestamp, Field(description="When the export was made.")]
    user: User
    addresses: Annotated[list[SavedAddress], Field(description="Saved addresses.")]
    sessions: Annotated[list[UserSession], Field(description="Sessions that have not ended.")]
    api_keys: Annotated[list[ApiKey], Field(description="API keys that the user has made.")]
    carts: Annotated[list[ExportedCart], Field(description="Carts.")]
    orders: Annotated[list[Order], Field(description="Orders.")]
    invoices: Annotated[list[IssuedInvoice], Field(description="Invoices and credit notes of these orders.")]
    payments: Annotated[list[Payment], Field(description="Payments.")]
    notifications: Annotated[list[Notification], Field(description="Notifications.")]
    reviews: Annotated[list[Review], Field(description="Reviews, in any status.")]


class EraseAccount(Model):
    """The account's password, and a code if the account has a second factor."""

    password: Annotated[PasswordAttempt, Field(description="The password in use.")]
    code: Annotated[
        SecondFactorCode | None,
        Field(description="An authenticator code or a recovery code, if the account has a second factor."),
    ] = None


ErasureId = Annotated[str, text_format(r"^[A-Za-z0-9_-]{43}$", "Send the `id` of the receipt, unchanged.")]
"""256 random bits, shown only once. The account is gone, so this id alone gives access to the receipt."""


class ErasureStatus(StrEnum):
    """How far an erasure has come."""

    RUNNING = "running"
    DONE = "done"


class ErasureRef(Model):
    """Names an erasure."""

    id: ErasureId


class ServiceErasure(Model):
    """A service that has erased its data."""

    service: Annotated[str, Field(description="The name of the service.")]
    erased_at: Annotated[Timestamp, Field(description="When it finished.")]


class Erasure(Model):
    """The receipt of an erasure: which services have erased the user's data, and when."""

    id: ErasureId
    status: ErasureStatus
    services: Annotated[list[ServiceErasure], Field(description="The services that have finished.")]
    asked_at: Annotated[Timestamp, Field(description="When the user asked for it.")]
    done_at: Annotated[Timestamp | None, Field(description="When the last service finished; null until then.")] = None


class UserErased(Event, service="user", name="erased", key="user_id"):
    """All services have erased a user's data; only this id is left."""

    user_id: Id


OWN_ACCOUNT = (OwnedResource("account"),)

EXPORT = Operation(
    SERVICE,
    "export",
    Empty,
    DataExport,
    "Export all data held on one's own account",
    Access.CUSTOMER,
    (NotFound, ExportTooLarge),
    owned_resources=OWN_ACCOUNT,
)
ERASE = Operation(
    SERVICE,
    "erase",
    EraseAccount,
    Erasure,
    "Close one's own account and erase its data; orders stay, without personal data",
    Access.CUSTOMER,
    (NotFound, LastAdmin, WrongPassword, WrongCode, TooManyAttempts),
    writes=True,
    owned_resources=OWN_ACCOUNT,
    confidential=True,
    audited=True,
)
ERASURE = Operation(
    SERVICE,
    "erasure",
    ErasureRef,
    Erasure,
    "Read the receipt of an erasure and its progress",
    Access.ANYONE,
    (NotFound,),
)

PRIVACY_OPERATIONS = (EXPORT, ERASE, ERASURE)
