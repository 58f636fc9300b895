"""The checks about events: every state has its event, every event its state, and consumers applied them in order."""

from infra.database.checks import Check, RepairAction, RepairBy
from infra.ops.verify.cross_store_checks import REPUBLISH_HOLD, REPUBLISH_ORDER, REPUBLISH_PAYMENT

REDELIVER = RepairAction(RepairBy.REDELIVER)
"""The violation's ids name the service, the stream and the sequence of the event to redeliver."""

EVENT_CHECKS = (
    Check(
        2,
        "events_not_heard",
        "A service has stopped consuming events.",
        """
        SELECT c.service, c.stream, min(e.seq) AS sequence, count(*) || ' events wait, the first since '
            || datetime(min(e.time), 'unixepoch') AS detail
        FROM consumer AS c JOIN subscription AS h ON h.service = c.service AND h.stream = c.stream
        JOIN event AS e ON e.stream = h.stream AND e.name = h.name AND e.seq > c.floor AND e.time < :late
        GROUP BY c.service, c.stream
        """,
        confirm_factor=2.0,
    ),
    Check(
        6,
        "dead_letter",
        "An event could not be handled.",
        "SELECT seq AS sequence, service, event_id, reason AS detail FROM dead_letter",
    ),
    Check(
        6,
        "event_missed",
        "A service acknowledged an event and did not apply it.",
        """
        SELECT c.service, e.stream, e.seq AS sequence, e.event_id, e.name || ' of ' || lower(e.stream) AS detail
        FROM consumer AS c JOIN subscription AS h ON h.service = c.service AND h.stream = c.stream
        JOIN event AS e ON e.stream = h.stream AND e.name = h.name AND e.seq <= c.floor
        WHERE c.service <> 'cart'
            AND NOT EXISTS (SELECT 1 FROM inbox AS i WHERE i.event_id = e.event_id AND i.service = c.service)
            AND NOT EXISTS (SELECT 1 FROM dead_letter AS d WHERE d.event_id = e.event_id AND d.service = c.service)
        """,
        REDELIVER,
    ),
    Check(
        6,
        "order_untold",
        "An order took a step without publishing an event.",
        """
        SELECT o.order_id, coalesce(lacks(o.steps, t.names), 'a parcel, or cancelled units') AS detail
        FROM orders AS o LEFT JOIN history AS t ON t.aggregate_id = o.order_id AND t.stream = 'ORDER'
        WHERE o.created > :horizon AND (lacks(o.steps, t.names) IS NOT NULL OR o.parcels > 1 AND o.parcels > (
            SELECT count(DISTINCT s.event_id) FROM published AS s
            WHERE s.stream = 'ORDER' AND s.aggregate_id = o.order_id AND s.name = 'shipped')
            OR o.cancellations > 0 AND o.cancellations > (SELECT count(DISTINCT s.event_id) FROM published AS s
                WHERE s.stream = 'ORDER' AND s.aggregate_id = o.order_id AND s.name = 'units_cancelled'))
        """,
        REPUBLISH_ORDER,
    ),
    Check(
        6,
        "order_event_without_step",
        "An event reports a step that its order did not take.",
        """
        SELECT t.aggregate_id AS order_id, lacks(t.settled_names, o.steps) AS detail
        FROM history AS t LEFT JOIN orders AS o ON o.order_id = t.aggregate_id
        WHERE t.stream = 'ORDER' AND lacks(t.settled_names, o.steps) IS NOT NULL
        """,
    ),
    Check(
        7,
        "order_told_out_of_order",
        "The events of an order are not in the order of its steps.",
        """
        SELECT o.order_id, t.settled_names || ' published, ' || o.steps || ' taken' AS detail
        FROM history AS t JOIN orders AS o ON o.order_id = t.aggregate_id
        WHERE t.stream = 'ORDER' AND t.names <> o.steps AND o.created > :horizon
            AND lacks(t.names, o.steps) IS NULL AND lacks(o.steps, t.names) IS NULL
        """,
    ),
    Check(
        6,
        "payment_untold",
        "A payment reached a state without publishing an event.",
        """
        SELECT p.payment_id, p.order_id, coalesce(lacks(p.outcome, t.names), 'refunded') AS detail
        FROM payment AS p LEFT JOIN history AS t ON t.aggregate_id = p.payment_id AND t.stream = 'PAYMENT'
        WHERE p.created > :horizon AND (lacks(p.outcome, t.names) IS NOT NULL OR p.refunds > (
            SELECT count(DISTINCT s.event_id) FROM published AS s
            WHERE s.stream = 'PAYMENT' AND s.aggregate_id = p.payment_id AND s.name = 'refunded'))
        """,
        REPUBLISH_PAYMENT,
    ),
    Check(
        6,
        "payment_event_without_payment",
        "An event reports a state that its payment did not reach.",
        """
        SELECT t.aggregate_id AS payment_id, p.order_id, lacks(t.settled_names, p.known) AS detail
        FROM history AS t LEFT JOIN (
            SELECT payment_id, order_id,
                   coalesce(outcome, '') || ',action_required' || iif(outcome = 'captured', ',failed', '')
                   || iif(refunds > 0, ',refunded', '') AS known
            FROM payment) AS p ON p.payment_id = t.aggregate_id
        WHERE t.stream = 'PAYMENT' AND lacks(t.settled_names, p.known) IS NOT NULL
        """,
    ),
    Check(
        7,
        "payment_told_out_of_order",
        "The events of a payment are out of order.",
        """
        SELECT aggregate_id AS payment_id, names AS detail FROM history
        WHERE stream = 'PAYMENT' AND (names LIKE '%refunded,%' OR names LIKE '%captured,action_required%')
        """,
    ),
    Check(
        6,
        "lost_hold_untold",
        "A hold was lost without publishing an event.",
        """
        SELECT h.hold_id, h.status AS detail FROM hold AS h
        WHERE h.status IN ('expired', 'lost') AND h.created > :horizon AND NOT EXISTS (SELECT 1 FROM published AS s
            WHERE s.stream = 'CATALOG' AND s.aggregate_id = h.hold_id AND s.name = 'hold_lost')
        """,
        REPUBLISH_HOLD,
    ),
    Check(
        6,
        "cart_not_emptied",
        "A cart still holds what was ordered from it and paid.",
        """
        SELECT o.order_id, o.cart_id AS cart, 'the cart has not applied the order' AS detail
        FROM orders AS o JOIN cart AS c ON c.cart_id = o.cart_id
        LEFT JOIN cart AS m ON m.cart_id = c.merged_into
        JOIN event AS e ON e.aggregate_id = o.order_id AND e.name = 'paid'
        JOIN consumer AS k ON k.service = 'cart' AND k.stream = e.stream AND e.seq <= k.floor
        WHERE c.remembers_all AND coalesce(m.remembers_all, c.merged_into IS NULL)
            AND NOT EXISTS (SELECT 1 FROM emptied AS g
                WHERE g.order_id = o.order_id AND g.cart_id IN (c.cart_id, m.cart_id))
            AND NOT EXISTS (SELECT 1 FROM dead_letter AS d WHERE d.event_id = e.event_id AND d.service = k.service)
        GROUP BY o.order_id
        """,
        REPUBLISH_ORDER,
    ),
    Check(
        6,
        "mail_missing",
        "An event was consumed and no mail was sent for it.",
        """
        SELECT e.aggregate_id AS order_id, e.name AS mail, 'no mail' AS detail
        FROM consumed AS e LEFT JOIN delivery AS d ON d.order_id = e.aggregate_id AND d.name = e.name
        WHERE e.service = 'notification' AND e.name IN (
            'placed', 'paid', 'cancelled', 'shipped', 'units_cancelled') AND d.order_id IS NULL
        UNION ALL
        SELECT o.order_id, 'shipped' AS mail, 'a parcel without a mail' AS detail FROM orders AS o
        WHERE o.parcels > 1
            AND (SELECT count(*) FROM consumed AS e
                 WHERE e.service = 'notification' AND e.aggregate_id = o.order_id AND e.name = 'shipped') >= o.parcels
            AND (SELECT count(*) FROM delivery AS d
                 WHERE d.order_id = o.order_id AND d.name = 'shipped') BETWEEN 1 AND o.parcels - 1
        """,
        REPUBLISH_ORDER,
    ),
)
