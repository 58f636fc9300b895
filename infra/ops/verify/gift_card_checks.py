"""The checks that compare what orders say of their gift cards with what payment has held and spent."""

from infra.database.checks import Check
from infra.ops.verify.cross_store_checks import REPUBLISH_ORDER

GIFT_CARD_CHECKS = (
    Check(
        4,
        "gift_cards_pay_another_part",
        "Gift cards have paid another part of an order than it says.",
        """
        SELECT o.order_id, o.payment_id,
               o.gift_card_total || ' of the order, ' || p.gift_card_amount || ' of its payment' AS detail
        FROM orders AS o JOIN payment AS p ON p.payment_id = o.payment_id
        WHERE o.status IN ('paid', 'shipped', 'delivered') AND o.gift_card_total <> p.gift_card_amount
        """,
    ),
    Check(
        9,
        "order_without_gift_cards",
        "Gift cards do not hold any more what they are to pay of an unpaid order.",
        """
        SELECT o.order_id,
               o.gift_card_total || ' ' || o.currency || ' to pay, ' || coalesce(h.amount, 0) || ' held' AS detail
        FROM orders AS o LEFT JOIN gift_card_hold AS h
            ON h.gift_card_hold_id = o.gift_card_hold_id AND h.state IN ('held', 'spent')
        WHERE o.status = 'pending' AND o.gift_card_total > 0 AND coalesce(h.amount, 0) <> o.gift_card_total
        """,
    ),
    Check(
        9,
        "cancelled_order_keeps_gift_cards",
        "A cancelled order still holds a part of a gift card.",
        """
        SELECT o.order_id, h.gift_card_hold_id, h.amount || ' ' || o.currency || ' held' AS detail
        FROM orders AS o JOIN gift_card_hold AS h ON h.gift_card_hold_id = o.gift_card_hold_id
        WHERE o.status = 'cancelled' AND h.state = 'held'
            AND NOT EXISTS (SELECT 1 FROM payment AS p
                WHERE p.order_id = o.order_id AND p.status IN ('processing', 'requires_action'))
            AND EXISTS (SELECT 1 FROM consumed AS e
                WHERE e.service = 'payment' AND e.aggregate_id = o.order_id AND e.name = 'cancelled')
        """,
        REPUBLISH_ORDER,
    ),
)
