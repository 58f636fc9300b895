"""What payment offers to `souk verify`: payments and refunds, the gateway's own list of them, and the ledger.

The data of the simulated gateway is in this database. It is read here as the list of another gateway would be.
"""

from infra.database.checks import Check, FactTable, RepairAction, RepairBy

REPAIR = RepairAction(RepairBy.SERVICE, "payment", "payment_id")

FACTS = (
    FactTable(
        "payment",
        (
            *("payment_id", "order_id", "user_id", "amount", "currency", "refunded", "status", "provider"),
            *("outcome", "refunds", "created", "gift_card_amount", "gateway_amount"),
        ),
        """
        SELECT uuid_send(payment.id), uuid_send(order_id), uuid_send(user_id), amount, currency, refunded + refunding,
               status, provider,
               CASE WHEN status IN ('captured', 'partially_refunded', 'refunded', 'disputed') THEN 'captured'
                    WHEN status = 'failed' THEN 'failed' WHEN status = 'requires_action' THEN 'action_required' END,
               coalesce(done.count, 0), extract(epoch FROM created_at)::bigint, gift_card_amount,
               amount - gift_card_amount
        FROM payment
        LEFT JOIN (SELECT payment_id, count(*) FROM refund WHERE status = 'done' GROUP BY payment_id) AS done
            ON done.payment_id = payment.id
        ORDER BY payment.id
        """,
        indexes=("payment_id", "order_id"),
    ),
    FactTable(
        "refund",
        ("refund_id", "payment_id", "amount", "status", "provider"),
        """
        SELECT uuid_send(refund.id), uuid_send(payment_id), refund.amount, refund.status,
               CASE WHEN gift_card_id IS NULL THEN provider ELSE 'gift_card' END
        FROM refund JOIN payment ON payment.id = payment_id ORDER BY refund.id
        """,
        indexes=("refund_id",),
    ),
    FactTable(
        "gift_card_hold",
        ("gift_card_hold_id", "amount", "state"),
        """
        SELECT uuid_send(hold_id), sum(amount)::bigint, state FROM gift_card_hold
        GROUP BY hold_id, state ORDER BY hold_id
        """,
        indexes=("gift_card_hold_id",),
    ),
    FactTable(
        "gateway_charge",
        ("charge_id", "amount", "currency"),
        """
        SELECT uuid_send(key), amount, currency FROM simulator.charge
        WHERE state = 'captured' AND effective_at <= now() ORDER BY key
        """,
        indexes=("charge_id",),
    ),
    FactTable(
        "gateway_refund",
        ("refund_id", "charge_id", "amount"),
        """
        SELECT uuid_send(key), uuid_send(charge_key), amount FROM simulator.refund
        WHERE state = 'refunded' ORDER BY key
        """,
        indexes=("refund_id", "charge_id"),
    ),
)

CHECKS = (
    Check(
        2,
        "charge_overdue",
        "A charge that was due was not claimed, or it is under way for far too long.",
        """
        SELECT uuid_send(payment_id) AS payment_id, step || ' due at ' || due_at || ', begun at ' || begun_at AS detail
        FROM attempt
        WHERE due_at < now() - interval '30 seconds' OR begun_at < now() - interval '30 minutes' ORDER BY due_at
        """,
        REPAIR,
    ),
    Check(
        2,
        "charge_forgotten",
        "A payment is processing, but no work on it is pending.",
        """
        SELECT uuid_send(payment.id) AS payment_id, 'processing without an attempt' AS detail FROM payment
        LEFT JOIN attempt ON attempt.payment_id = payment.id
        WHERE payment.status = 'processing' AND attempt.payment_id IS NULL ORDER BY payment.id
        """,
        REPAIR,
    ),
    Check(
        2,
        "refund_overdue",
        "A refund that was due was not claimed, or it is under way for far too long.",
        """
        SELECT uuid_send(payment_id) AS payment_id, uuid_send(id) AS refund_id, 'due at ' || due_at AS detail
        FROM refund WHERE status = 'pending'
            AND (due_at < now() - interval '30 seconds' OR created_at < now() - interval '1 day') ORDER BY due_at
        """,
        REPAIR,
    ),
    Check(
        2,
        "money_owed",
        "Money is owed to a customer: the gateway has refused the refund, and an operator has to try again.",
        """
        SELECT uuid_send(payment_id) AS payment_id, uuid_send(order_id) AS order_id, uuid_send(refund_id) AS refund_id,
               owed || ' ' || currency || ' since ' || since || ': ' || coalesce(failure_code, 'no refund') AS detail
        FROM money_owed ORDER BY payment_id
        """,
        REPAIR,
    ),
    Check(
        3,
        "paid_twice",
        "More than one payment of an order was captured, and none of them was refunded.",
        """
        SELECT uuid_send(payment.id) AS payment_id, uuid_send(payment.order_id) AS order_id,
               'in addition to ' || named.id AS detail
        FROM bill JOIN payment ON payment.order_id = bill.order_id
        JOIN payment AS named ON named.id = bill.payment_id AND named.id <> payment.id
        WHERE payment.status IN ('captured', 'partially_refunded', 'disputed')
            AND payment.refunded + payment.refunding < payment.amount
            AND named.status IN ('captured', 'partially_refunded', 'disputed')
            AND named.refunded + named.refunding < named.amount
        ORDER BY payment.id
        """,
        REPAIR,
    ),
    Check(
        3,
        "refunds_do_not_add_up",
        "The refunded amount of a payment differs from the sum of its refunds.",
        """
        SELECT uuid_send(payment.id) AS payment_id,
               refunded || ' refunded and ' || refunding || ' pending; by its refunds '
               || coalesce(each.done, 0) || ' and ' || coalesce(each.pending, 0) AS detail
        FROM payment
        LEFT JOIN (SELECT payment_id, coalesce(sum(amount) FILTER (WHERE status = 'done'), 0) AS done,
                          coalesce(sum(amount) FILTER (WHERE status = 'pending'), 0) AS pending
                   FROM refund GROUP BY payment_id) AS each ON each.payment_id = payment.id
        WHERE (refunded, refunding) IS DISTINCT FROM (coalesce(each.done, 0), coalesce(each.pending, 0))
        ORDER BY payment.id
        """,
        REPAIR,
    ),
    Check(
        4,
        "ledger_out_of_balance",
        "The ledger does not balance to zero.",
        "SELECT currency, 'balance ' || balance AS detail FROM ledger_balance WHERE balance <> 0 ORDER BY currency",
    ),
    Check(
        4,
        "ledger_disagrees",
        "The ledger disagrees with a payment.",
        """
        SELECT uuid_send(payment_id) AS payment_id,
               status || ': ' || expected || ' expected, ' || booked || ' booked' AS detail
        FROM ledger_disagreement ORDER BY payment_id
        """,
        REPAIR,
    ),
    Check(
        4,
        "gift_card_disagrees",
        "The balance of a gift card differs from the ledger, or what is held of it from the holds.",
        """
        SELECT uuid_send(gift_card_id) AS gift_card_id,
               'balance ' || balance || ', ' || booked || ' booked; held ' || held || ', by its holds ' || by_holds
               AS detail
        FROM gift_card_disagreement ORDER BY gift_card_id
        """,
    ),
    Check(
        9,
        "gift_card_overdrawn",
        "Orders hold more of a gift card than is left of it, or more is left than it was issued with.",
        """
        SELECT uuid_send(id) AS gift_card_id,
               'issued with ' || initial || ', balance ' || balance || ', held ' || held AS detail
        FROM gift_card WHERE NOT (0 <= held AND held <= balance AND balance <= initial) ORDER BY id
        """,
    ),
    Check(
        2,
        "gift_card_hold_not_ended",
        "A hold on a gift card has expired but still keeps a part of its balance.",
        """
        SELECT uuid_send(hold_id) AS gift_card_hold_id, amount || ' since ' || expires_at AS detail
        FROM gift_card_hold
        WHERE state = 'held' AND payment_id IS NULL AND expires_at < now() - interval '60 seconds' ORDER BY expires_at
        """,
    ),
)
