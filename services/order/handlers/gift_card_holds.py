"""The hold on an order's gift cards: made at payment once the order's total is known, released if no order needs it."""

from contracts.failure import Fail
from contracts.gift_cards import HOLD_GIFT_CARDS, RELEASE_GIFT_CARDS, GiftCardHoldRef, HoldGiftCards
from contracts.order import PlaceOrder
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import get_logger
from infra.messaging.rpc_client import Request
from services.order.deps import OrderDeps
from services.order.domain.gift_cards import derive_gift_card_hold_id, with_gift_cards
from services.order.domain.orders import OrderDraft
from services.order.store import insert as store

log = get_logger("souk.order")


async def hold(deps: OrderDeps, request: Request[PlaceOrder], draft: OrderDraft) -> OrderDraft:
    """Returns the order with what its gift cards pay, which payment holds as long as catalog holds the stock.

    Raises `GiftCardInvalid`, `GiftCardInsufficient` or `TooManyGiftCardAttempts`.
    """
    cards, due = request.body.gift_cards or [], draft.order.total
    codes = [code.get_secret_value() for code in cards]
    held = await deps.rpc.request(
        HOLD_GIFT_CARDS,
        HoldGiftCards(
            hold_id=derive_gift_card_hold_id(draft.hold.hold_id, due, codes, deps.guest_limits.secret),
            codes=cards,
            due=due,
            seconds=int(deps.pay_within_seconds_of(draft.buyer) + deps.hold_margin_seconds),
            client_ip=request.client_ip,
        ),
    )
    failpoint("order.gift_cards_held")
    return with_gift_cards(draft, held)


async def release(deps: OrderDeps, draft: OrderDraft) -> None:
    """Releases the hold unless an order needs it. When that fails, it expires by itself."""
    hold_id = draft.gift_card_hold_id
    failures: tuple[type[Exception], ...] = (Fail, *deps.db.unavailable_errors, *deps.db.contention_errors)
    if hold_id is None:
        return
    try:
        async with deps.db.connection() as connection:
            in_use = await store.is_gift_card_hold_in_use(connection, draft.hold.hold_id, hold_id)
        if not in_use:
            await deps.rpc.request(RELEASE_GIFT_CARDS, GiftCardHoldRef(hold_id=hold_id))
    except failures as error:
        log.warning("hold on gift cards not released: %s", error, hold_id=hold_id)
