"""What gift cards pay of an order, as order sees it: payment keeps the cards, and the hold on them."""

import hmac
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from contracts.gift_cards import GiftCardHold, GiftCardPart
from contracts.money import Money
from contracts.order import Order
from contracts.readable_codes import code_key
from services.order.domain.orders import OrderDraft

_UUID_BYTES = 16


def derive_gift_card_hold_id(hold_id: UUID, due: Money, codes: Sequence[str], secret: str) -> UUID:
    """Returns the id of the hold on gift cards, the same for all requests that pay the same amount with these cards.

    `hold_id` is that of the stock, which all requests for the same order share. A request with other cards or another
    amount has another hold, so that no request takes away what the order of another one needs.
    """
    text = f"gift cards\0{hold_id}\0{due.amount} {due.currency}\0{' '.join(code_key(code) for code in codes)}"
    return UUID(bytes=hmac.digest(secret.encode(), text.encode(), "sha256")[:_UUID_BYTES])


def with_gift_cards(draft: OrderDraft, hold: GiftCardHold) -> OrderDraft:
    """Returns the order with what its gift cards pay."""
    if not hold.amount.amount:
        return draft
    order = draft.order.model_copy(update={"gift_card_total": hold.amount, "gift_cards": hold.last4})
    return replace(draft, order=order, gift_card_hold_id=hold.hold_id)


def gift_card_part(order: Order, gift_card_hold_id: UUID | None) -> GiftCardPart | None:
    """Returns what gift cards pay of the order, for payment; None if they pay nothing."""
    return GiftCardPart(hold_id=gift_card_hold_id, amount=order.gift_card_total) if gift_card_hold_id else None


def has_nothing_due(order: Order) -> bool:
    """Whether gift cards or a coupon leave nothing to charge: such an order is paid without a payment method."""
    return order.total == order.gift_card_total
