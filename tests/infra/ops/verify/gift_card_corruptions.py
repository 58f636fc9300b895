"""Corruptions of gift cards, of what orders hold on them, and of what they have paid."""

from tests.infra.ops.verify.corruption import Corruption

CARD = """INSERT INTO gift_card (id, code_digest, last4, currency, initial, balance, held)
    VALUES ('{more}', uuid_send('{more}'), 'V8ZD', 'USD', 500, BALANCE, HELD)"""
BOOKED = """INSERT INTO ledger_entry (transaction_id, account, gift_card_id, currency, amount, cause) VALUES
    ('{more}', 'gift_card_funding', NULL, 'USD', BALANCE, 'gift_card_issue'),
    ('{more}', 'gift_card_liability', '{more}', 'USD', -BALANCE, 'gift_card_issue')"""
HOLD = """INSERT INTO gift_card_hold (hold_id, gift_card_id, position, amount, state, expires_at)
    VALUES ('{other}', '{more}', 1, 5, 'held', now() + interval 'AGE')"""
NAMED = """UPDATE orders SET gift_card_total = 5, gift_card_hold_id = '{other}', gift_cards = ARRAY['V8ZD']
    WHERE id = '{order_id}'"""


def _card(*, balance: int = 500, held: int = 0) -> tuple[tuple[str, str], ...]:
    """A card with this balance, in the ledger too."""
    card = CARD.replace("BALANCE", str(balance)).replace("HELD", str(held))
    return (("payment", card), ("payment", BOOKED.replace("BALANCE", str(balance))))


GIFT_CARD_CORRUPTIONS = (
    Corruption(
        "a gift card has lost count of its holds",
        "pending",
        {"gift_card_disagrees": ("more",)},
        _card(held=5),
    ),
    Corruption(
        "the ledger does not know a gift card",
        "pending",
        {"gift_card_disagrees": ("more",)},
        _card()[:1],
    ),
    Corruption(
        "a gift card is worth more than it was issued with",
        "pending",
        {"gift_card_overdrawn": ("more",)},
        (("payment", "ALTER TABLE gift_card DROP CONSTRAINT gift_card_never_overdrawn"), *_card(balance=600)),
    ),
    Corruption(
        "a hold on a gift card was left",
        "pending",
        {"gift_card_hold_not_ended": ("other",)},
        (*_card(held=5), ("payment", HOLD.replace("AGE", "-1 hour"))),
        is_repairable=True,
    ),
    Corruption(
        "an order says that gift cards have paid it",
        "paid",
        {"gift_cards_pay_another_part": ("order_id", "payment_id")},
        (("order", NAMED),),
    ),
    Corruption(
        "the gift cards of an unpaid order were released",
        "pending",
        {"order_without_gift_cards": ("order_id",)},
        (("order", NAMED),),
    ),
    Corruption(
        "a cancelled order keeps its gift cards",
        "cancelled",
        {"cancelled_order_keeps_gift_cards": ("order_id", "other")},
        (*_card(held=5), ("payment", HOLD.replace("AGE", "1 hour")), ("order", NAMED)),
        is_repairable=True,
    ),
)
