"""Tickets for the event stream of an order: signed, for one order, for a minute, and for one use.

A ticket says whom it was given to, so any process of this service can check it. That it is used only once is recorded
where all of them see it (`store/used_tickets.py`). The signature covers the order's id, which the ticket does not hold.
"""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime
from uuid import UUID

from pydantic import ValidationError

from contracts.identity import Identity
from contracts.model import Id, Model, Timestamp

SIGNATURE_BYTES = 32


class TicketClaims(Model):
    """What a ticket says: its own id, whom it was given to, whether they sent the order's token, and its end."""

    id: Id
    identity: Identity | None = None
    has_token: bool
    expires_at: Timestamp


class EventStreamTickets:
    """Signs tickets and reads those that are sent."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(b"event stream ticket\0" + secret.encode()).digest()

    def sign(self, order_id: UUID, claims: TicketClaims) -> str:
        """Returns a ticket for the event stream of an order, in base64url."""
        body = claims.model_dump_json(exclude_none=True).encode()
        return base64.urlsafe_b64encode(self._signature(order_id, body) + body).decode().rstrip("=")

    def read(self, order_id: UUID, ticket: str, now: datetime) -> TicketClaims | None:
        """Returns what a ticket says; None if it is not one for this order, or has expired."""
        try:
            signed = base64.b64decode(ticket + "=" * (-len(ticket) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        signature, body = signed[:SIGNATURE_BYTES], signed[SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(order_id, body)):
            return None
        try:
            claims = TicketClaims.model_validate_json(body)
        except ValidationError:  # another release made it
            return None
        return claims if now < claims.expires_at else None

    def _signature(self, order_id: UUID, body: bytes) -> bytes:
        return hmac.digest(self._key, order_id.bytes + body, "sha256")
