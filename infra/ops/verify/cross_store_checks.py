"""The checks that compare several stores, as queries of the fact database.

The view `consumed` has the events that a service must have applied by now: those below its consumer's acknowledgement
floor that are in its inbox. The table `history` has, in order, the names of the events by which an aggregate took a
step; `settled_names` are those that were in their stream before the stores were read, so the stores must know them.
Events older than `:horizon` may have left their stream.
"""

from infra.database.checks import Check, RepairAction, RepairBy

REPAIR_ORDER, REPAIR_PAYMENT = (
    RepairAction(RepairBy.SERVICE, "order", "order_id"),
    RepairAction(RepairBy.SERVICE, "payment", "payment_id"),
)
REPUBLISH_ORDER, REPUBLISH_HOLD, REPUBLISH_PAYMENT = (
    RepairAction(RepairBy.REPUBLISH, service, f"{name}_id")
    for service, name in (("order", "order"), ("catalog", "hold"), ("payment", "payment"))
)

PREPARATION_SQL = """
DROP VIEW IF EXISTS consumed;
DROP VIEW IF EXISTS published;
DROP TABLE IF EXISTS history;
CREATE VIEW consumed AS
    SELECT c.service, e.aggregate_id, e.name FROM event AS e
    CROSS JOIN consumer AS c ON c.stream = e.stream AND e.seq <= c.floor
    CROSS JOIN subscription AS h ON h.service = c.service AND h.stream = c.stream AND h.name = e.name
    WHERE CASE c.service WHEN 'cart'
        THEN NOT EXISTS (SELECT 1 FROM dead_letter AS d WHERE d.event_id = e.event_id AND d.service = c.service)
        ELSE EXISTS (SELECT 1 FROM inbox AS i WHERE i.event_id = e.event_id AND i.service = c.service) END;
CREATE VIEW published AS
    SELECT stream, aggregate_id, name, seq, event_id FROM event
    UNION ALL SELECT upper(service), aggregate_id, name, 9000000000000000000, event_id FROM outbox;
CREATE TABLE history AS
    SELECT published.stream, aggregate_id, in_order(name, seq) AS names,
           in_order(CASE WHEN seq <= ends.last THEN name END, seq) AS settled_names
    FROM published JOIN ends ON ends.stream = published.stream
    WHERE published.stream IN ('ORDER', 'PAYMENT') AND name NOT IN ('claimed', 'lookup_requested', 'units_cancelled')
    GROUP BY published.stream, aggregate_id;
CREATE INDEX history_0 ON history (aggregate_id);
"""

STOCK_CHECKS = (
    Check(
        1,
        "hold_of_other_goods",
        "A hold and its order have different lines.",
        """
        SELECT o.order_id, h.hold_id, h.lines || ' held, ' || o.lines || ' ordered' AS detail
        FROM orders AS o JOIN hold AS h ON h.hold_id = o.hold_id WHERE h.lines <> o.lines AND (o.cancellations = 0
            OR (SELECT count(*) FROM consumed AS e WHERE e.service = 'catalog' AND e.aggregate_id = o.order_id
                AND e.name = 'units_cancelled') >= o.cancellations)
        """,
    ),
    Check(
        1,
        "order_without_hold",
        "An unpaid order has no stock on hold.",
        """
        SELECT o.order_id, o.hold_id, 'the hold is ' || coalesce(h.status, 'missing') AS detail
        FROM orders AS o LEFT JOIN hold AS h ON h.hold_id = o.hold_id
        WHERE o.status = 'pending' AND (h.hold_id IS NULL OR h.status = 'released'
            OR (h.status IN ('expired', 'lost') AND EXISTS (SELECT 1 FROM consumed AS e
                WHERE e.service = 'order' AND e.aggregate_id = o.hold_id AND e.name = 'hold_lost')))
        """,
        REPAIR_ORDER,
    ),
    Check(
        1,
        "order_not_sold",
        "A paid order's hold was not turned into a sale.",
        """
        SELECT o.order_id, o.hold_id, 'order ' || o.status || ', hold ' || coalesce(h.status, 'missing') AS detail
        FROM orders AS o LEFT JOIN hold AS h ON h.hold_id = o.hold_id
        WHERE o.status IN ('paid', 'shipped', 'delivered', 'refunded')
            AND coalesce(h.status, '') NOT IN ('sold', 'lost', 'cancelled')
            AND EXISTS (SELECT 1 FROM consumed AS e
                WHERE e.service = 'catalog' AND e.aggregate_id = o.order_id AND e.name = 'paid')
        """,
        REPUBLISH_ORDER,
    ),
    Check(
        1,
        "lost_hold_kept_order",
        "An order is still paid although its hold was lost.",
        """
        SELECT o.order_id, o.hold_id, 'order ' || o.status || ', hold ' || h.status AS detail
        FROM orders AS o JOIN hold AS h ON h.hold_id = o.hold_id
        WHERE o.status = 'paid' AND o.parcels = 0 AND h.status = 'lost' AND EXISTS (SELECT 1 FROM consumed AS e
            WHERE e.service = 'order' AND e.aggregate_id = o.hold_id AND e.name = 'hold_lost')
        """,
        REPUBLISH_HOLD,
    ),
    Check(
        1,
        "cancelled_order_keeps_stock",
        "A cancelled order still holds stock.",
        """
        SELECT o.order_id, o.hold_id, 'the hold is ' || h.status AS detail
        FROM orders AS o JOIN hold AS h ON h.hold_id = o.hold_id
        WHERE o.status = 'cancelled' AND h.status IN ('held', 'sold') AND EXISTS (SELECT 1 FROM consumed AS e
            WHERE e.service = 'catalog' AND e.aggregate_id = o.order_id AND e.name = 'cancelled')
        """,
        REPUBLISH_ORDER,
    ),
    Check(
        1,
        "sold_without_order",
        "Stock was sold, or a sale cancelled, without an order in that state.",
        """
        SELECT h.hold_id, o.order_id, 'hold ' || h.status || ', order ' || coalesce(o.status, 'missing') AS detail
        FROM hold AS h LEFT JOIN orders AS o ON o.hold_id = h.hold_id
        WHERE (h.status = 'sold' AND coalesce(o.status, 'pending') = 'pending')
            OR (h.status = 'cancelled' AND coalesce(o.status, '') <> 'cancelled')
        """,
    ),
)

MONEY_CHECKS = (
    Check(
        3,
        "charged_twice",
        "The gateway captured the money of an order more than once and has not refunded it.",
        """
        SELECT p.order_id, count(*) || ' charges' AS detail
        FROM gateway_charge AS c JOIN payment AS p ON p.payment_id = c.charge_id
        WHERE p.refunded < p.amount GROUP BY p.order_id HAVING count(*) > 1
        """,
    ),
    Check(
        3,
        "refunded_too_much",
        "The gateway refunded more than it captured.",
        """
        SELECT c.charge_id AS payment_id, sum(r.amount) || ' of ' || c.amount AS detail
        FROM gateway_refund AS r JOIN gateway_charge AS c ON c.charge_id = r.charge_id
        GROUP BY c.charge_id, c.amount HAVING sum(r.amount) > c.amount
        """,
    ),
    Check(
        4,
        "paid_without_payment",
        "An order is paid without a matching captured payment.",
        """
        SELECT o.order_id, o.payment_id, 'order ' || o.status || ', ' || o.total || ' ' || o.currency || '; payment '
            || coalesce(p.status || ', ' || p.amount || ' ' || p.currency, 'missing') AS detail
        FROM orders AS o LEFT JOIN payment AS p ON p.payment_id = o.payment_id AND p.order_id = o.order_id
        WHERE o.status IN ('paid', 'shipped', 'delivered') AND (p.payment_id IS NULL OR p.amount <> o.total
            OR p.currency <> o.currency OR p.status NOT IN ('captured', 'partially_refunded', 'refunded', 'disputed'))
        """,
    ),
    Check(
        4,
        "capture_not_noted",
        "An order is still pending after it consumed the capture of its payment.",
        """
        SELECT p.payment_id, p.order_id, 'payment ' || p.status || ', order ' || o.status AS detail
        FROM payment AS p JOIN orders AS o ON o.order_id = p.order_id
        WHERE p.outcome = 'captured' AND o.status = 'pending' AND EXISTS (SELECT 1 FROM consumed AS e
            WHERE e.service = 'order' AND e.aggregate_id = p.payment_id AND e.name = 'captured')
        """,
        REPAIR_ORDER,
    ),
    Check(
        4,
        "refund_not_noted",
        "An order is still paid after it consumed the full refund of its payment.",
        """
        SELECT p.payment_id, o.order_id, 'order ' || o.status AS detail
        FROM payment AS p JOIN orders AS o ON o.payment_id = p.payment_id
        WHERE p.status = 'refunded' AND o.status IN ('paid', 'shipped', 'delivered')
            AND (SELECT count(*) FROM consumed AS e WHERE e.service = 'order' AND e.aggregate_id = p.payment_id
                 AND e.name = 'refunded') >= p.refunds
        """,
        REPAIR_ORDER,
    ),
    Check(
        4,
        "payment_without_order",
        "A payment without an order has kept, or may still capture, money.",
        """
        SELECT p.payment_id, p.order_id, p.status AS detail
        FROM payment AS p LEFT JOIN orders AS o ON o.order_id = p.order_id
        WHERE o.order_id IS NULL AND p.status <> 'failed' AND p.refunded < p.amount
        """,
        REPAIR_PAYMENT,
    ),
    Check(
        4,
        "cancelled_not_refunded",
        "The payment of a cancelled order was not refunded.",
        """
        SELECT p.payment_id, p.order_id, p.amount - p.refunded || ' ' || p.currency || ' kept' AS detail
        FROM payment AS p JOIN orders AS o ON o.order_id = p.order_id
        WHERE o.status = 'cancelled' AND p.outcome = 'captured' AND p.refunded < p.amount
            AND EXISTS (SELECT 1 FROM consumed AS e
                WHERE e.service = 'payment' AND e.aggregate_id = o.order_id AND e.name = 'cancelled')
        """,
        REPAIR_PAYMENT,
    ),
    Check(
        4,
        "cancelled_units_not_refunded",
        "Units of an order were cancelled, and their amount was not refunded.",
        """
        SELECT c.order_id, c.cancellation_id AS refund_id, c.amount || ', the refund ' || coalesce(r.status, 'missing')
            AS detail
        FROM cancellation AS c JOIN payment AS p ON p.payment_id = c.payment_id
        LEFT JOIN refund AS r ON r.refund_id = c.cancellation_id
        WHERE c.amount > 0 AND coalesce(r.status, 'failed') = 'failed' AND p.refunded < p.amount
            AND (SELECT count(*) FROM consumed AS e WHERE e.service = 'payment' AND e.aggregate_id = c.order_id
                 AND e.name = 'units_cancelled')
                >= (SELECT count(*) FROM cancellation AS every WHERE every.order_id = c.order_id)
        """,
        REPUBLISH_ORDER,
    ),
    Check(
        4,
        "refunded_without_refund",
        "An order is refunded and its payment is not.",
        """
        SELECT o.order_id, o.payment_id, 'payment ' || coalesce(p.status, 'missing') AS detail
        FROM orders AS o LEFT JOIN payment AS p ON p.payment_id = o.payment_id
        WHERE o.status = 'refunded' AND coalesce(p.status, '') <> 'refunded'
        """,
    ),
)

GATEWAY_CHECKS = (
    Check(
        4,
        "capture_unknown_to_gateway",
        "A payment is captured and the gateway has no such charge.",
        """
        SELECT p.payment_id, p.order_id, p.gateway_amount || ' ' || p.currency || ', at the gateway '
            || coalesce(c.amount || ' ' || c.currency, 'nothing') AS detail
        FROM payment AS p LEFT JOIN gateway_charge AS c ON c.charge_id = p.payment_id
        WHERE p.outcome = 'captured' AND p.provider = 'simulator'
            AND (c.charge_id IS NULL OR (c.amount, c.currency) <> (p.gateway_amount, p.currency))
        """,
    ),
    Check(
        4,
        "capture_missed",
        "The gateway has captured a payment that is failed or waits for an action.",
        """
        SELECT p.payment_id, p.order_id,
               'payment ' || p.status || ', ' || c.amount || ' ' || c.currency || ' captured' AS detail
        FROM gateway_charge AS c JOIN payment AS p ON p.payment_id = c.charge_id
        WHERE p.status IN ('failed', 'requires_action')
        """,
        REPAIR_PAYMENT,
    ),
    Check(
        4,
        "charge_without_payment",
        "The gateway has captured money without a payment.",
        """
        SELECT c.charge_id AS payment_id, c.amount || ' ' || c.currency AS detail
        FROM gateway_charge AS c LEFT JOIN payment AS p ON p.payment_id = c.charge_id WHERE p.payment_id IS NULL
        """,
        REPAIR_PAYMENT,
    ),
    Check(
        4,
        "refund_unknown_to_gateway",
        "A refund is done and the gateway has no such refund.",
        """
        SELECT r.refund_id, r.payment_id, r.amount || ', at the gateway ' || coalesce(g.amount, 'nothing') AS detail
        FROM refund AS r LEFT JOIN gateway_refund AS g ON g.refund_id = r.refund_id
        WHERE r.status = 'done' AND r.provider = 'simulator' AND g.amount IS NOT r.amount
        """,
    ),
    Check(
        4,
        "refund_missed",
        "The gateway has refunded money without a refund in payment.",
        """
        SELECT g.refund_id, g.charge_id AS payment_id,
               g.amount || ', the refund ' || coalesce(r.status, 'missing') AS detail
        FROM gateway_refund AS g LEFT JOIN refund AS r ON r.refund_id = g.refund_id
        WHERE r.refund_id IS NULL OR r.status = 'failed'
        """,
        REPAIR_PAYMENT,
    ),
)

OWNERSHIP_CHECKS = (
    Check(
        8,
        "paid_by_another",
        "A payment and its order belong to different customers.",
        """
        SELECT p.payment_id, o.order_id, 'the payment is another customer''s' AS detail
        FROM payment AS p JOIN orders AS o ON o.order_id = p.order_id WHERE p.user_id IS NOT o.user_id
        """,
    ),
    Check(
        8,
        "cart_of_another",
        "An order was placed from another customer's cart.",
        """
        SELECT o.order_id, o.cart_id AS cart, 'the cart is another customer''s' AS detail
        FROM orders AS o JOIN cart AS c ON c.cart_id = o.cart_id
        WHERE c.user_id IS NOT NULL AND c.user_id IS NOT o.user_id
        """,
    ),
    Check(
        8,
        "mail_to_another",
        "A mail about an order went to another customer.",
        """
        SELECT o.order_id, d.name AS mail, 'the mail is another customer''s' AS detail
        FROM delivery AS d JOIN orders AS o ON o.order_id = d.order_id WHERE d.user_id IS NOT o.user_id
        """,
    ),
)
