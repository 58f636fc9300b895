"""Who may use an order: its customer, the guest who sends its token, and administrators.

The token of a guest's order is an HMAC of its id under a secret of this service. So it is
stored nowhere, and every reply to the same request contains it. It is checked before the order is read: a wrong token
and an order that does not exist are refused alike, in the same time.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from contracts.failure import NotFound
from contracts.identity import Identity
from services.order.domain.orders import OrderRecord


class OrderTokens:
    """Derives the tokens of guests' orders and checks those that are sent."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(b"order access\0" + secret.encode()).digest()

    def token_of(self, order_id: UUID) -> str:
        """Returns the token of an order: 256 bits in base64url."""
        return base64.urlsafe_b64encode(hmac.digest(self._key, order_id.bytes, "sha256")).decode().rstrip("=")

    def opens(self, order_id: UUID, token: str) -> bool:
        """Whether the token is that of the order, in the same time for every token."""
        return hmac.compare_digest(self.token_of(order_id).encode(), token.encode())


@dataclass(frozen=True, slots=True)
class OrderCaller:
    """Who asks for one order: their identity, if they are signed in, and whether they sent that order's token."""

    identity: Identity | None
    has_token: bool


def is_open_to_token(user_id: UUID | None, email: str | None) -> bool:
    """Whether an order's token opens it: it has a guest, not a customer, and the guest's data was not erased."""
    return user_id is None and email is not None


def is_owner(record: OrderRecord, caller: OrderCaller) -> bool:
    """Whether the caller is the order's customer, or sent the token of a guest's order."""
    user_id = record.order.user_id
    if caller.has_token and is_open_to_token(user_id, record.email):
        return True
    return caller.identity is not None and user_id == caller.identity.user_id


def require_owner(record: OrderRecord | None, caller: OrderCaller) -> OrderRecord:
    """Returns the order to its owner alone; for others it does not exist."""
    if record is None or not is_owner(record, caller):
        raise NotFound
    return record


def require_access(record: OrderRecord | None, caller: OrderCaller) -> OrderRecord:
    """Returns the order to its owner and to administrators; for others it does not exist."""
    is_admin = caller.identity is not None and caller.identity.is_admin
    if record is None or not (is_admin or is_owner(record, caller)):
        raise NotFound
    return record


def require_claimable(record: OrderRecord | None, user_id: UUID, verified_emails: Sequence[str]) -> OrderRecord:
    """Returns the order if it is this account's, or a guest's with one of these e-mails, given in lower case.

    Raises one and the same `NotFound` for every other order and account.
    """
    if record is not None and record.order.user_id == user_id:
        return record
    is_guests = record is not None and is_open_to_token(record.order.user_id, record.email)
    if record is None or not is_guests or (record.email or "").lower() not in verified_emails:
        raise NotFound("No guest has placed this order with the e-mail of your account, or the e-mail is not verified.")
    return record
