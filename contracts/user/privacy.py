"""Somebody's own data: all of it on one page, or gone."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.event import Event
from contracts.failure import Fail
from contracts.model import Id, Model, Timestamp
from contracts.notification import Notification
from contracts.order import Order
from contracts.payment import Payment
from contracts.privacy import ExportedCart
from contracts.user.accounts import User
from contracts.user.addresses import SavedAddress
from contracts.user.api_keys import ApiKey
from contracts.user.sessions import UserSession


class ExportTooLarge(Fail, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
    """This is more than one answer holds; read the lists of orders, payments and notifications page by page."""


class DataExport(Model):
    """All that is held on somebody, by every service; orders that a guest placed with the verified e-mail as well."""

    id: Annotated[Id, Field(description="The account's.")]
    made_at: Timestamp
    user: User
    addresses: list[SavedAddress]
    sessions: list[UserSession]
    api_keys: list[ApiKey]
    carts: list[ExportedCart]
    orders: list[Order]
    payments: list[Payment]
    notifications: list[Notification]


ErasureId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
"""256 random bits, told once: the account is gone, so that whoever knows it may read the receipt."""


class ErasureStatus(StrEnum):
    RUNNING = "running"
    DONE = "done"


class ErasureRef(Model):
    id: ErasureId


class ServiceErasure(Model):
    service: str
    erased_at: Timestamp


class Erasure(Model):
    """A receipt: which services have erased what they held on somebody, and when."""

    id: ErasureId
    status: ErasureStatus
    services: Annotated[list[ServiceErasure], Field(description="Those that are done with it.")]
    asked_at: Timestamp
    done_at: Timestamp | None = None


class UserErased(Event, service="user", name="erased", key="user_id"):
    """Somebody's data are gone everywhere; what is left of them is this id."""

    user_id: Id
