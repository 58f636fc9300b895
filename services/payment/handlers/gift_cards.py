"""Gift cards: administrators issue, list and disable them, holders read the balance, orders hold what they use.

A code is in the reply that issues its card and in the requests that use it, and nowhere else: cards are found by a
keyed hash of it.
"""

import math
import secrets
from collections.abc import Sequence
from uuid import UUID

from contracts.failure import NotFound
from contracts.gift_cards import (
    FindGiftCard,
    GiftCard,
    GiftCardHold,
    GiftCardHoldRef,
    GiftCardRef,
    HoldGiftCards,
    IssueGiftCard,
    TooManyGiftCardAttempts,
)
from contracts.model import Empty, ListPage, PageParams
from contracts.money import Money
from contracts.readable_codes import RANDOM_BYTES, format_code
from infra.foundation import pagination
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id, now
from infra.messaging.rpc_client import Reply, Request
from services.payment.deps import PaymentDeps
from services.payment.domain.gift_cards import (
    GiftCardRecord,
    GiftCardRefusal,
    GiftCardShare,
    code_digest,
    last_four,
    refuse,
    require_future,
    share_due,
)
from services.payment.store import gift_card_guesses, gift_card_holds
from services.payment.store import gift_cards as store


async def list_gift_cards(deps: PaymentDeps, request: Request[PageParams]) -> ListPage[GiftCard]:
    """Lists gift cards, the newest first."""
    before = pagination.decode_id_cursor(request.body.after)
    async with deps.db.connection() as connection:
        found = await store.list_page(connection, before, request.body.limit + 1)
    page, next_cursor = pagination.paginate([card.to_contract() for card in found], request.body.limit)
    return ListPage[GiftCard](items=page, next=next_cursor)


async def get_gift_card(deps: PaymentDeps, request: Request[GiftCardRef]) -> GiftCard:
    """Reads a gift card."""
    async with deps.db.connection() as connection:
        return _require_found(await store.find(connection, request.body.id)).to_contract()


async def issue_gift_card(deps: PaymentDeps, request: Request[IssueGiftCard]) -> Reply[GiftCard]:
    """Issues a gift card and books it. The reply is the only place where its code stands."""
    require_future(request.body.expires_at, now())
    code = format_code(secrets.token_bytes(RANDOM_BYTES))
    digest = code_digest(code, deps.gift_card_secret)
    async with deps.db.transaction(request) as tx:
        card = await store.issue(tx.connection, new_id(), digest, last_four(code), request.body)
        return tx.reply(card.to_contract(code))


async def disable_gift_card(deps: PaymentDeps, request: Request[GiftCardRef]) -> Reply[GiftCard]:
    """Disables a gift card. Orders that hold a part of it keep that; its balance stays in the ledger."""
    async with deps.db.transaction(request) as tx:
        before = _require_found(await store.lock(tx.connection, request.body.id))
        disabled = await store.disable(tx.connection, before.id)
        tx.audit_changes(before={"disabled": before.state == "disabled"}, after={"disabled": True})
        return tx.reply(disabled.to_contract())


async def find_gift_card(deps: PaymentDeps, request: Request[FindGiftCard]) -> GiftCard:
    """Returns the card with this code; raises `NotFound` for any code that is not one."""
    (card,) = await _find_by_codes(deps, [request.body.code.get_secret_value()], request.client_ip)
    return _require_found(card).to_contract()


async def hold_gift_cards(deps: PaymentDeps, request: Request[HoldGiftCards]) -> GiftCardHold:
    """Holds what the cards pay of an order, or returns what this hold has on them already."""
    body = request.body
    codes = [code.get_secret_value() for code in body.codes]
    cards = await _find_by_codes(deps, codes, body.client_ip)
    for position, card in enumerate(cards):
        if card is None:
            raise refuse(GiftCardRefusal.UNKNOWN, position)
    async with deps.db.transaction() as tx:
        card_ids = [card.id for card in cards if card is not None]
        locked = await store.lock_all(tx.connection, card_ids)
        shares = await gift_card_holds.find(tx.connection, body.hold_id)
        if shares:
            await gift_card_holds.extend(tx.connection, body.hold_id, body.seconds)
        else:
            shares = share_due([locked[card_id] for card_id in card_ids], body.due, now())
            held = await gift_card_holds.put(tx.connection, body.hold_id, shares, body.seconds)
            assert held, "the cards are locked and have enough"
    failpoint("payment.gift_cards_held")
    return _to_hold(body.hold_id, shares, body.due.currency)


async def release_gift_cards(deps: PaymentDeps, request: Request[GiftCardHoldRef]) -> Empty:
    """Releases a hold that no order came for. One that a payment has spent or will spend stays."""
    async with deps.db.transaction() as tx:
        await gift_card_holds.release(tx.connection, [request.body.hold_id])
    return Empty()


async def _find_by_codes(deps: PaymentDeps, codes: Sequence[str], client_ip: str) -> list[GiftCardRecord | None]:
    """Returns the card of each code; None for one that does not exist, which counts as a guess.

    Who has guessed too often is refused every code, so that the refusal does not tell a good code.
    """
    bucket = deps.gift_card_guesses.bucket(client_ip)
    async with deps.db.connection() as connection:
        wait = await gift_card_guesses.wait_seconds(connection, bucket) if bucket else 0.0
        if wait > 0:
            raise TooManyGiftCardAttempts(
                "Too many unknown gift card codes were tried. Try again later.", retry_after=math.ceil(wait)
            )
        digests = [code_digest(code, deps.gift_card_secret) for code in codes]
        cards = await store.find_by_digests(connection, digests)
        if bucket and None in cards:
            await gift_card_guesses.take(connection, bucket)
    return cards


def _to_hold(hold_id: UUID, shares: Sequence[GiftCardShare], currency: str) -> GiftCardHold:
    amount = Money(amount=sum(share.amount for share in shares), currency=currency)
    return GiftCardHold(hold_id=hold_id, amount=amount, last4=[share.last4 for share in shares])


def _require_found(card: GiftCardRecord | None) -> GiftCardRecord:
    if card is None:
        raise NotFound
    return card
