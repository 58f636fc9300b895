"""What orders hold on gift cards: held when an order is placed, spent by its payment, or released.

`gift_card.held` and `gift_card.balance` change with the rows of `gift_card_hold`, in one statement that locks the cards
first, in the order of their ids. A hold that a payment will spend (`payment_id`) neither expires nor is released; it is
returned when that payment fails.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from infra.database.postgres import Connection
from services.payment.domain.gift_cards import GiftCardShare, SpentShare
from services.payment.store import gift_cards

_FIND = """
SELECT gift_card_id, last4, amount FROM gift_card_hold JOIN gift_card ON id = gift_card_id
WHERE hold_id = $1 AND gift_card_hold.state <> 'released' ORDER BY position
"""
_EXTEND = """
UPDATE gift_card_hold SET expires_at = greatest(expires_at, now() + make_interval(secs => $2)) WHERE hold_id = $1
"""
# The condition is what keeps a card from being overdrawn: a card without enough left is missing in the reply.
_HOLD = """
WITH shares AS (
    SELECT * FROM unnest($2::uuid[], $3::bigint[]) WITH ORDINALITY AS share (gift_card_id, amount, position)
), taken AS (
    UPDATE gift_card SET held = held + shares.amount FROM shares
    WHERE id = shares.gift_card_id AND held + shares.amount <= balance
    RETURNING id, shares.amount, shares.position
)
INSERT INTO gift_card_hold (hold_id, gift_card_id, position, amount, state, expires_at)
SELECT $1, id, position, amount, 'held', now() + make_interval(secs => $4) FROM taken
ON CONFLICT (hold_id, gift_card_id) DO UPDATE SET
    position = excluded.position, amount = excluded.amount, state = 'held', payment_id = NULL,
    expires_at = excluded.expires_at
RETURNING gift_card_id
"""
_BIND = """
UPDATE gift_card_hold AS hold SET payment_id = opened.payment_id
FROM unnest($1::uuid[], $2::uuid[]) AS opened (payment_id, hold_id) JOIN payment ON payment.id = opened.payment_id
WHERE hold.hold_id = opened.hold_id AND hold.state = 'held' AND hold.payment_id IS NULL
"""
_RELEASE = """
WITH locked AS MATERIALIZED (
    SELECT id FROM gift_card WHERE id IN (
        SELECT gift_card_id FROM gift_card_hold WHERE hold_id = ANY($1::uuid[]) AND state = 'held'
    ) ORDER BY id FOR NO KEY UPDATE
), released AS (
    UPDATE gift_card_hold SET state = 'released' FROM locked
    WHERE gift_card_id = locked.id AND hold_id = ANY($1::uuid[]) AND state = 'held' AND payment_id IS NULL
    RETURNING gift_card_id, amount
), freed AS (
    SELECT gift_card_id, sum(amount) AS amount FROM released GROUP BY gift_card_id
)
UPDATE gift_card SET held = held - freed.amount FROM freed WHERE id = freed.gift_card_id
"""
_FIND_EXPIRED = """
SELECT DISTINCT hold_id FROM (
    SELECT hold_id FROM gift_card_hold WHERE state = 'held' AND payment_id IS NULL AND expires_at <= now()
    ORDER BY expires_at LIMIT $1
) AS expired
"""
_RETURN = """
UPDATE gift_card_hold AS hold SET payment_id = NULL FROM unnest($1::uuid[]) AS failed (payment_id)
WHERE hold.payment_id = failed.payment_id AND hold.state = 'held'
RETURNING failed.payment_id, hold.hold_id
"""
# One statement books each capture whole: what the gateway holds, what each card has paid, and the sale.
_SPEND = """
WITH locked AS MATERIALIZED (
    SELECT id FROM gift_card WHERE id IN (
        SELECT gift_card_id FROM gift_card_hold WHERE payment_id = ANY($1::uuid[]) AND state = 'held'
    ) ORDER BY id FOR NO KEY UPDATE
), spent AS (
    UPDATE gift_card_hold SET state = 'spent' FROM locked
    WHERE gift_card_id = locked.id AND payment_id = ANY($1::uuid[]) AND state = 'held'
    RETURNING payment_id, gift_card_id, position, amount
), paid AS (
    UPDATE gift_card SET balance = balance - sums.amount, held = held - sums.amount
    FROM (SELECT gift_card_id, sum(amount) AS amount FROM spent GROUP BY gift_card_id) AS sums
    WHERE id = sums.gift_card_id
)
INSERT INTO ledger_entry (transaction_id, payment_id, account, line, gift_card_id, currency, amount, cause)
SELECT id, id, account, 0, NULL::uuid, currency, leg.amount, 'capture'
FROM payment
CROSS JOIN LATERAL (
    VALUES ('gateway_receivable', payment.amount - gift_card_amount), ('sales', -payment.amount)
) AS leg (account, amount)
WHERE id = ANY($1::uuid[])
UNION ALL
SELECT payment.id, payment.id, 'gift_card_liability', position, gift_card_id, currency, spent.amount, 'capture'
FROM spent JOIN payment ON payment.id = spent.payment_id
"""
_LIST_SPENT = """
SELECT gift_card_id, hold.amount, (
    SELECT coalesce(sum(refund.amount), 0)::bigint FROM refund
    WHERE refund.payment_id = $1 AND refund.gift_card_id = hold.gift_card_id AND refund.status = 'done'
) AS refunded
FROM gift_card_hold AS hold WHERE hold.payment_id = $1 AND hold.state = 'spent' ORDER BY position
"""


async def find(connection: Connection, hold_id: UUID) -> list[GiftCardShare]:
    """Returns what the hold has on each card, unless it was released."""
    return [GiftCardShare(*row.values()) for row in await connection.fetch(_FIND, hold_id)]


async def extend(connection: Connection, hold_id: UUID, seconds: float) -> None:
    """Makes a hold last for at least this time from now."""
    await connection.execute(_EXTEND, hold_id, seconds)


async def put(connection: Connection, hold_id: UUID, shares: Sequence[GiftCardShare], seconds: float) -> bool:
    """Holds the shares on their cards, which the transaction has locked. Returns False if one has too little left."""
    card_ids, amounts = [share.gift_card_id for share in shares], [share.amount for share in shares]
    return len(await connection.fetch(_HOLD, hold_id, card_ids, amounts, seconds)) == len(shares)


async def bind(connection: Connection, hold_ids: Mapping[UUID, UUID]) -> None:
    """Keeps holds for the payments that were opened to spend them. `hold_ids` is by payment."""
    await connection.execute(_BIND, list(hold_ids), list(hold_ids.values()))


async def release(connection: Connection, hold_ids: Sequence[UUID]) -> None:
    """Releases those of the holds that no payment has spent or will spend. Repeating it is harmless."""
    await connection.execute(_RELEASE, list(hold_ids))


async def find_expired(connection: Connection, limit: int) -> list[UUID]:
    """Returns holds whose time is over."""
    return [row["hold_id"] for row in await connection.fetch(_FIND_EXPIRED, limit)]


async def return_unspent(connection: Connection, payment_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Returns the holds of payments that have failed to their orders: by payment."""
    return {row["payment_id"]: row["hold_id"] for row in await connection.fetch(_RETURN, list(payment_ids))}


async def spend(connection: Connection, payment_ids: Sequence[UUID]) -> None:
    """Spends what captured payments hold on gift cards, and books these captures whole."""
    await connection.execute(_SPEND, list(payment_ids))


async def list_spent(connection: Connection, payment_id: UUID) -> list[SpentShare]:
    """Returns what each card has paid of a captured payment, the first one first, and locks the cards.

    The caller has locked the payment.
    """
    rows = await connection.fetch(_LIST_SPENT, payment_id)
    cards = await gift_cards.lock_all(connection, [row["gift_card_id"] for row in rows])
    return [SpentShare(cards[row["gift_card_id"]], row["amount"], row["refunded"]) for row in rows]
