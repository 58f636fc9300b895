"""Gift cards: their codes, what each pays of an order, and where a refund goes back to."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from contracts.failure import FieldError, InvalidRequest
from contracts.gift_cards import GiftCard, GiftCardInsufficient, GiftCardInvalid, GiftCardState
from contracts.money import Money
from contracts.payment import NotRefundable
from contracts.readable_codes import code_key

_LAST = 4


class GiftCardRefusal(StrEnum):
    """Why a gift card is refused."""

    UNKNOWN = "unknown"
    DISABLED = "disabled"
    EXPIRED = "expired"
    CURRENCY = "currency"


_DETAILS = {
    GiftCardRefusal.UNKNOWN: "There is no gift card with this code. Check its spelling.",
    GiftCardRefusal.DISABLED: "This gift card is disabled.",
    GiftCardRefusal.EXPIRED: "This gift card has expired.",
    GiftCardRefusal.CURRENCY: "This gift card is for orders in another currency.",
}


@dataclass(frozen=True, slots=True)
class GiftCardRecord:
    """A stored gift card. Amounts are in minor units of `currency`; `held` is the part that orders hold."""

    id: UUID
    last4: str
    currency: str
    initial: int
    balance: int
    held: int
    state: GiftCardState
    expires_at: datetime | None
    created_at: datetime

    @property
    def available(self) -> int:
        """What a further order may hold."""
        return self.balance - self.held

    def refusal(self, at: datetime) -> GiftCardRefusal | None:
        """Why it can neither be used nor take money back at that time; None if it can."""
        if self.state == "disabled":
            return GiftCardRefusal.DISABLED
        return GiftCardRefusal.EXPIRED if self.expires_at is not None and at >= self.expires_at else None

    def to_contract(self, code: str | None = None) -> GiftCard:
        """Returns the card as clients see it, with its code in the reply that issues it."""
        return GiftCard(
            id=self.id,
            code=code,
            last4=self.last4,
            initial=self._money(self.initial),
            balance=self._money(self.balance),
            held=self._money(self.held),
            state=self.state,
            expires_at=self.expires_at,
            created_at=self.created_at,
        )

    def _money(self, amount: int) -> Money:
        return Money(amount=amount, currency=self.currency)


@dataclass(frozen=True, slots=True)
class GiftCardShare:
    """What one card pays of an order."""

    gift_card_id: UUID
    last4: str
    amount: int


@dataclass(frozen=True, slots=True)
class SpentShare:
    """What one card has paid of a payment, and how much of that has gone back to it."""

    card: GiftCardRecord
    amount: int
    refunded: int


@dataclass(frozen=True, slots=True)
class RefundPart:
    """A part of a refund: to one gift card, or to the gateway if there is no `card`.

    A part with a `refusal` cannot be made: it stays owed until an administrator has decided about it.
    """

    amount: int
    card: GiftCardRecord | None = None
    refusal: GiftCardRefusal | None = None


def code_digest(code: str, secret: str) -> bytes:
    """Returns the keyed hash by which a card is found."""
    return hmac.digest(secret.encode(), f"gift card\0{code_key(code)}".encode(), "sha256")


def last_four(code: str) -> str:
    """Returns the last four characters of a code."""
    return code_key(code)[-_LAST:]


def require_future(expires_at: datetime | None, at: datetime) -> None:
    """Raises `InvalidRequest` when a card would have expired already."""
    if expires_at is not None and expires_at <= at:
        raise InvalidRequest(errors=[FieldError(pointer="/expires_at", detail="Send a time in the future.")])


def refuse(reason: GiftCardRefusal, position: int, detail: str | None = None) -> GiftCardInvalid:
    """Returns the failure for the code at this position of the order's `gift_cards`. It never holds a code."""
    text = detail or _DETAILS[reason]
    return GiftCardInvalid(text, reason=reason, errors=[FieldError(pointer=f"/gift_cards/{position}", detail=text)])


def share_due(cards: Sequence[GiftCardRecord], due: Money, at: datetime) -> list[GiftCardShare]:
    """Returns what each card pays, in the given order: as much as is still due and it has available.

    A card that is not needed any more is left out; a card that is given twice counts once. Raises `GiftCardInvalid`
    for a card that cannot be used, and `GiftCardInsufficient` for one that is needed and has nothing available.
    """
    left, shares = due.amount, dict[UUID, GiftCardShare]()
    for position, card in enumerate(cards):
        _require_usable(card, position, due.currency, at)
        if card.id in shares or not left:
            continue
        if not card.available:
            detail = f"The gift card that ends in {card.last4} has nothing left, or other orders hold all of it."
            raise GiftCardInsufficient(detail, errors=[FieldError(pointer=f"/gift_cards/{position}", detail=detail)])
        amount = min(left, card.available)
        shares[card.id] = GiftCardShare(card.id, card.last4, amount)
        left -= amount
    return list(shares.values())


def _require_usable(card: GiftCardRecord, position: int, currency: str, at: datetime) -> None:
    if reason := card.refusal(at):
        raise refuse(reason, position)
    if card.currency != currency:
        detail = f"This gift card is for orders in {card.currency}."
        raise refuse(GiftCardRefusal.CURRENCY, position, detail)


def split_refund(amount: int, gateway_left: int, spent: Sequence[SpentShare], at: datetime) -> list[RefundPart]:
    """Splits a refund: first the gateway up to what is left of its part, then the cards, the last one used first.

    The parts add up to the amount, which is at most what is left of the whole payment.
    """
    parts, left = [], amount
    if gateway := min(left, gateway_left):
        parts.append(RefundPart(gateway))
        left -= gateway
    for share in reversed(spent):
        if part := min(left, share.amount - share.refunded):
            parts.append(RefundPart(part, share.card, share.card.refusal(at)))
            left -= part
    assert not left, "no more is refunded than was paid"
    return parts


def require_possible(parts: Sequence[RefundPart]) -> None:
    """Raises `NotRefundable` when a part would go to a card that takes no money back."""
    for part in parts:
        if part.card is not None and part.refusal is not None:
            possible = sum(other.amount for other in parts if other.refusal is None)
            raise NotRefundable(
                f"{part.amount} {part.card.currency} (minor units) would go to the gift card that ends in "
                f"{part.card.last4}, which is disabled or has expired. Only {possible} can be refunded at once."
            )
