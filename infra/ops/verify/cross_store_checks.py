"""The laws that no store can answer alone, as queries of the evidence.

`heard` has what a service must have had the effect of by now: events below its consumer's floor, with their inbox rows.
`told` has the names of all events of an aggregate in their order; in `sure` those that were in their stream before the
stores were read, so that the stores must know of them. What is older than `:horizon` may have left its stream.
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
DROP VIEW IF EXISTS heard;
DROP VIEW IF EXISTS said;
DROP TABLE IF EXISTS told;
CREATE VIEW heard AS
    SELECT c.service, e.aggregate_id, e.name FROM event AS e
    CROSS JOIN consumer AS c ON c.stream = e.stream AND e.seq <= c.floor
    CROSS JOIN hears AS h ON h.service = c.service AND h.stream = c.stream AND h.name = e.name
    WHERE CASE c.service WHEN 'cart'
        THEN NOT EXISTS (SELECT 1 FROM dead AS d WHERE d.event_id = e.event_id AND d.service = c.service)
        ELSE EXISTS (SELECT 1 FROM inbox AS i WHERE i.event_id = e.event_id AND i.service = c.service) END;
CREATE VIEW said AS
    SELECT stream, aggregate_id, name, seq, event_id FROM event
    UNION ALL SELECT upper(service), aggregate_id, name, 9000000000000000000, event_id FROM outbox;
CREATE TABLE told AS
    SELECT said.stream, aggregate_id, in_order(name, seq) AS names,
           in_order(CASE WHEN seq <= ends.last THEN name END, seq) AS sure
    FROM said JOIN ends ON ends.stream = said.stream
    WHERE said.stream IN ('ORDER', 'PAYMENT') GROUP BY said.stream, aggregate_id;
CREATE INDEX told_0 ON told (aggregate_id);
"""

STOCK_CHECKS = (
    Check(
        1,
        "hold_of_other_goods",
        "A hold is not for what its order has.",
        """
        SELECT o.order_id, h.hold_id, h.lines || ' held, ' || o.lines || ' ordered' AS detail
        FROM orders AS o JOIN hold AS h ON h.hold_id = o.hold_id WHERE h.lines <> o.lines
        """,
    ),
    Check(
        1,
        "order_without_hold",
        "No stock is held for an order that waits to be paid.",
        """
        SELECT o.order_id, o.hold_id, 'the hold is ' || coalesce(h.status, 'not there') AS detail
        FROM orders AS o LEFT JOIN hold AS h ON h.hold_id = o.hold_id
        WHERE o.status = 'pending' AND (h.hold_id IS NULL OR h.status = 'released'
            OR (h.status IN ('expired', 'lost') AND EXISTS (SELECT 1 FROM heard AS e
                WHERE e.service = 'order' AND e.aggregate_id = o.hold_id AND e.name = 'hold_lost')))
        """,
        REPAIR_ORDER,
    ),
    Check(
        1,
        "order_not_sold",
        "The stock of a paid order is not sold.",
        """
        SELECT o.order_id, o.hold_id, 'order ' || o.status || ', hold ' || coalesce(h.status, 'not there') AS detail
        FROM orders AS o LEFT JOIN hold AS h ON h.hold_id = o.hold_id
        WHERE o.status IN ('paid', 'shipped', 'delivered', 'refunded')
            AND coalesce(h.status, '') NOT IN ('sold', 'lost', 'cancelled')
            AND EXISTS (SELECT 1 FROM heard AS e
                WHERE e.service = 'catalog' AND e.aggregate_id = o.order_id AND e.name = 'paid')
        """,
        REPUBLISH_ORDER,
    ),
    Check(
        1,
        "lost_hold_kept_order",
        "An order is paid whose stock was lost.",
        """
        SELECT o.order_id, o.hold_id, 'order ' || o.status || ', hold ' || h.status AS detail
        FROM orders AS o JOIN hold AS h ON h.hold_id = o.hold_id
        WHERE o.status = 'paid' AND h.status = 'lost' AND EXISTS (SELECT 1 FROM heard AS e
            WHERE e.service = 'order' AND e.aggregate_id = o.hold_id AND e.name = 'hold_lost')
        """,
        REPUBLISH_HOLD,
    ),
    Check(
        1,
        "cancelled_order_keeps_stock",
        "A cancelled order keeps its stock.",
        """
        SELECT o.order_id, o.hold_id, 'the hold is ' || h.status AS detail
        FROM orders AS o JOIN hold AS h ON h.hold_id = o.hold_id
        WHERE o.status = 'cancelled' AND h.status IN ('held', 'sold') AND EXISTS (SELECT 1 FROM heard AS e
            WHERE e.service = 'catalog' AND e.aggregate_id = o.order_id AND e.name = 'cancelled')
        """,
        REPUBLISH_ORDER,
    ),
    Check(
        1,
        "sold_without_order",
        "Stock was sold, or its sale called off, for an order that knows nothing of it.",
        """
        SELECT h.hold_id, o.order_id, 'hold ' || h.status || ', order ' || coalesce(o.status, 'not there') AS detail
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
        "The gateway took the money of an order more than once, and keeps it.",
        """
        SELECT p.order_id, count(*) || ' charges' AS detail
        FROM charge AS c JOIN payment AS p ON p.payment_id = c.charge_id
        WHERE p.back < p.amount GROUP BY p.order_id HAVING count(*) > 1
        """,
    ),
    Check(
        3,
        "refunded_too_much",
        "The gateway gave more back than it took.",
        """
        SELECT c.charge_id AS payment_id, sum(r.amount) || ' of ' || c.amount AS detail
        FROM returned AS r JOIN charge AS c ON c.charge_id = r.charge_id
        GROUP BY c.charge_id, c.amount HAVING sum(r.amount) > c.amount
        """,
    ),
    Check(
        4,
        "paid_without_payment",
        "An order counts as paid, and no such payment was captured.",
        """
        SELECT o.order_id, o.payment_id, 'order ' || o.status || ', ' || o.total || ' ' || o.currency || '; payment '
            || coalesce(p.status || ', ' || p.amount || ' ' || p.currency, 'not there') AS detail
        FROM orders AS o LEFT JOIN payment AS p ON p.payment_id = o.payment_id AND p.order_id = o.order_id
        WHERE o.status IN ('paid', 'shipped', 'delivered') AND (p.payment_id IS NULL OR p.amount <> o.total
            OR p.currency <> o.currency OR p.status NOT IN ('captured', 'partially_refunded', 'refunded', 'disputed'))
        """,
    ),
    Check(
        4,
        "capture_not_noted",
        "The money is there, its order has heard of it and still waits for it.",
        """
        SELECT p.payment_id, p.order_id, 'payment ' || p.status || ', order ' || o.status AS detail
        FROM payment AS p JOIN orders AS o ON o.order_id = p.order_id
        WHERE p.told = 'captured' AND o.status = 'pending' AND EXISTS (SELECT 1 FROM heard AS e
            WHERE e.service = 'order' AND e.aggregate_id = p.payment_id AND e.name = 'captured')
        """,
        REPAIR_ORDER,
    ),
    Check(
        4,
        "refund_not_noted",
        "All of the money went back, its order has heard of it and still counts as paid.",
        """
        SELECT p.payment_id, o.order_id, 'order ' || o.status AS detail
        FROM payment AS p JOIN orders AS o ON o.payment_id = p.payment_id
        WHERE p.status = 'refunded' AND o.status IN ('paid', 'shipped', 'delivered')
            AND (SELECT count(*) FROM heard AS e WHERE e.service = 'order' AND e.aggregate_id = p.payment_id
                 AND e.name = 'refunded') >= p.refunds
        """,
        REPAIR_ORDER,
    ),
    Check(
        4,
        "payment_without_order",
        "A payment is for an order that is not there, and its money is kept or may still be taken.",
        """
        SELECT p.payment_id, p.order_id, p.status AS detail
        FROM payment AS p LEFT JOIN orders AS o ON o.order_id = p.order_id
        WHERE o.order_id IS NULL AND p.status <> 'failed' AND p.back < p.amount
        """,
        REPAIR_PAYMENT,
    ),
    Check(
        4,
        "cancelled_not_refunded",
        "The money of a cancelled order is kept.",
        """
        SELECT p.payment_id, p.order_id, p.amount - p.back || ' ' || p.currency || ' kept' AS detail
        FROM payment AS p JOIN orders AS o ON o.order_id = p.order_id
        WHERE o.status = 'cancelled' AND p.told = 'captured' AND p.back < p.amount AND EXISTS (SELECT 1 FROM heard AS e
            WHERE e.service = 'payment' AND e.aggregate_id = o.order_id AND e.name = 'cancelled')
        """,
        REPAIR_PAYMENT,
    ),
    Check(
        4,
        "refunded_without_refund",
        "An order counts as refunded, and its payment does not.",
        """
        SELECT o.order_id, o.payment_id, 'payment ' || coalesce(p.status, 'not there') AS detail
        FROM orders AS o LEFT JOIN payment AS p ON p.payment_id = o.payment_id
        WHERE o.status = 'refunded' AND coalesce(p.status, '') <> 'refunded'
        """,
    ),
)

GATEWAY_CHECKS = (
    Check(
        4,
        "capture_unknown_to_gateway",
        "A payment counts as captured, and the gateway says something else.",
        """
        SELECT p.payment_id, p.order_id, p.amount || ' ' || p.currency || ', at the gateway '
            || coalesce(c.amount || ' ' || c.currency, 'nothing') AS detail
        FROM payment AS p LEFT JOIN charge AS c ON c.charge_id = p.payment_id
        WHERE p.told = 'captured' AND p.provider = 'simulator'
            AND (c.charge_id IS NULL OR (c.amount, c.currency) <> (p.amount, p.currency))
        """,
    ),
    Check(
        4,
        "capture_missed",
        "The gateway has taken money that its payment does not know of.",
        """
        SELECT p.payment_id, p.order_id,
               'payment ' || p.status || ', ' || c.amount || ' ' || c.currency || ' captured' AS detail
        FROM charge AS c JOIN payment AS p ON p.payment_id = c.charge_id WHERE p.status IN ('failed', 'requires_action')
        """,
        REPAIR_PAYMENT,
    ),
    Check(
        4,
        "charge_without_payment",
        "The gateway has taken money for which there is no payment.",
        """
        SELECT c.charge_id AS payment_id, c.amount || ' ' || c.currency AS detail
        FROM charge AS c LEFT JOIN payment AS p ON p.payment_id = c.charge_id WHERE p.payment_id IS NULL
        """,
        REPAIR_PAYMENT,
    ),
    Check(
        4,
        "refund_unknown_to_gateway",
        "A refund counts as done, and the gateway says something else.",
        """
        SELECT r.refund_id, r.payment_id, r.amount || ', at the gateway ' || coalesce(g.amount, 'nothing') AS detail
        FROM refund AS r LEFT JOIN returned AS g ON g.refund_id = r.refund_id
        WHERE r.status = 'done' AND r.provider = 'simulator' AND g.amount IS NOT r.amount
        """,
    ),
    Check(
        4,
        "refund_missed",
        "The gateway has given money back that counts as kept.",
        """
        SELECT g.refund_id, g.charge_id AS payment_id,
               g.amount || ', the refund ' || coalesce(r.status, 'not there') AS detail
        FROM returned AS g LEFT JOIN refund AS r ON r.refund_id = g.refund_id
        WHERE r.refund_id IS NULL OR r.status = 'failed'
        """,
        REPAIR_PAYMENT,
    ),
)

OWNERSHIP_CHECKS = (
    Check(
        8,
        "paid_by_another",
        "A payment is not of the one whose order it is.",
        """
        SELECT p.payment_id, o.order_id, 'the payment is another customer''s' AS detail
        FROM payment AS p JOIN orders AS o ON o.order_id = p.order_id WHERE p.user_id IS NOT o.user_id
        """,
    ),
    Check(
        8,
        "cart_of_another",
        "An order was made from a cart of somebody else.",
        """
        SELECT o.order_id, o.cart_id AS cart, 'the cart is another customer''s' AS detail
        FROM orders AS o JOIN cart AS c ON c.cart_id = o.cart_id
        WHERE c.user_id IS NOT NULL AND c.user_id IS NOT o.user_id
        """,
    ),
    Check(
        8,
        "mail_to_another",
        "A mail about an order is to somebody else.",
        """
        SELECT o.order_id, d.name AS mail, 'the mail is another customer''s' AS detail
        FROM delivery AS d JOIN orders AS o ON o.order_id = d.order_id WHERE d.user_id IS NOT o.user_id
        """,
    ),
)
