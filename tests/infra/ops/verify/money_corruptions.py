"""Corruptions of payments, charges and ledger, and work that is overdue."""

from tests.infra.ops.verify import corrupting_actions
from tests.infra.ops.verify.corruption import Corruption

PAYMENT = """INSERT INTO payment (id, order_id, user_id, amount, currency, status, provider, traceparent, request_id)
    VALUES ('{more}', '{order_id}', '{user_id}', 1999, 'USD', 'STATUS', 'simulator', '', '')"""
BILL = """INSERT INTO bill (order_id, payment_id) VALUES ('{order_id}', '{more}')
    ON CONFLICT (order_id) DO UPDATE SET payment_id = excluded.payment_id"""
CHARGE = """INSERT INTO simulator.charge (key, token, amount, currency, state)
    VALUES ('{more}', 'sim_ok', 1999, 'USD', 'captured')"""
LEDGER = """INSERT INTO ledger_entry (transaction_id, account, payment_id, currency, amount) VALUES
    ('{more}', 'gateway_receivable', '{more}', 'USD', 1999), ('{more}', 'sales', '{more}', 'USD', -1999)"""
COUPON = """INSERT INTO coupon (id, kind, value, applies_to, first_order_only, active, used)
    VALUES ('{more}', 'percent', 10, 'goods', false, true, 1)"""
CAPTURED = tuple(("payment", one) for one in (BILL, PAYMENT.replace("STATUS", "captured"), CHARGE, LEDGER))
PROCESSING = tuple(("payment", one) for one in (BILL, PAYMENT.replace("STATUS", "processing")))
APPEND_ONLY = "ALTER TABLE ledger_entry {} TRIGGER ledger_is_append_only"
BALANCED = "ALTER TABLE ledger_entry {} TRIGGER ledger_balances"

MONEY_CORRUPTIONS = (
    Corruption(
        "an unpaid order did not expire",
        "pending",
        {"order_not_given_up": ("order_id",)},
        (("order", "UPDATE orders SET pay_by = now() - interval '1 hour' WHERE id = '{order_id}'"),),
        is_repairable=True,
    ),
    Corruption(
        "a charge was left",
        "pending",
        {"charge_overdue": ("more",)},
        (
            *PROCESSING,
            (
                "payment",
                (
                    "INSERT INTO attempt (payment_id, step, due_at, begun_at) "
                    "VALUES ('{more}', 'charge', now() - interval '1 hour', now() - interval '1 hour')"
                ),
            ),
        ),
        is_repairable=True,
    ),
    Corruption("a charge was forgotten", "pending", {"charge_forgotten": ("more",)}, PROCESSING, is_repairable=True),
    Corruption(
        "a refund was left",
        "paid",
        {"refund_overdue": ("payment_id", "more")},
        (
            (
                "payment",
                (
                    "INSERT INTO refund (id, payment_id, amount, due_at, traceparent, request_id) "
                    "VALUES ('{more}', '{payment_id}', 5, now() - interval '1 hour', '', '')"
                ),
            ),
            ("payment", "UPDATE payment SET refunding = 5 WHERE id = '{payment_id}'"),
        ),
        is_repairable=True,
    ),
    Corruption(
        "a product file was left",
        "pending",
        {"import_stands_still": ("more",)},
        (
            (
                "catalog",
                "INSERT INTO import_job (id, status, alive_at) VALUES ('{more}', 'queued', now() - interval '1 day')",
            ),
            ("catalog", "INSERT INTO import_file (job_id, content) VALUES ('{more}', '')"),
        ),
        is_repairable=True,
    ),
    Corruption(
        "an event was not published",
        "paid",
        {"event_not_published": (".", "event_id")},
        (
            (
                "order",
                (
                    "UPDATE orders SET status = 'delivered', "
                    """history = history || '[{{"status": "delivered", "at": "2026-01-01T00:00:00Z"}}]' """
                    "WHERE id = '{order_id}'"
                ),
            ),
        ),
        corrupting_actions.leave_event_in_outbox,
        is_repairable=True,
    ),
    Corruption(
        "an order was paid twice",
        "paid",
        {"paid_twice": ("more", "order_id"), "charged_twice": ("order_id",)},
        CAPTURED[1:],
        corrupting_actions.capture_consumed_by_order,
        is_repairable=True,
    ),
    Corruption(
        "refunds do not add up",
        "paid",
        {"refunds_do_not_add_up": ("payment_id",)},
        (("payment", "UPDATE payment SET refunding = 1 WHERE id = '{payment_id}'"),),
        is_repairable=True,
    ),
    Corruption(
        "the gateway gave too much back",
        "paid",
        {"refunded_too_much": ("payment_id",), "refund_missed": ("more", "payment_id")},
        (
            (
                "payment",
                (
                    "INSERT INTO simulator.refund (key, charge_key, amount, state) "
                    "VALUES ('{more}', '{payment_id}', 5000, 'refunded')"
                ),
            ),
        ),
    ),
    Corruption(
        "the ledger has one leg too many",
        "paid",
        {"ledger_out_of_balance": (".",), "ledger_disagrees": ("payment_id",)},
        (
            ("payment", BALANCED.format("DISABLE")),
            (
                "payment",
                (
                    "INSERT INTO ledger_entry (transaction_id, account, payment_id, currency, amount) "
                    "VALUES ('{more}', 'sales', '{payment_id}', 'USD', 3)"
                ),
            ),
            ("payment", BALANCED.format("ENABLE")),
        ),
    ),
    Corruption(
        "the ledger has lost a payment",
        "paid",
        {"ledger_disagrees": ("payment_id",)},
        (
            ("payment", APPEND_ONLY.format("DISABLE")),
            ("payment", "DELETE FROM ledger_entry WHERE payment_id = '{payment_id}'"),
            ("payment", APPEND_ONLY.format("ENABLE")),
        ),
        is_repairable=True,
    ),
    Corruption(
        "an order is paid by too little",
        "paid",
        {"paid_without_payment": ("order_id", "payment_id"), "invoice_disagrees": ("order_id",)},
        (("order", "UPDATE orders SET total = total + 1, shipping = shipping + 1 WHERE id = '{order_id}'"),),
    ),
    Corruption(
        "the tax of an order is not that of its lines",
        "paid",
        {"order_sums_wrong": ("order_id",), "invoice_disagrees": ("order_id",)},
        (("order", "UPDATE orders SET tax = 1, tax_included = true WHERE id = '{order_id}'"),),
    ),
    Corruption(
        "the discount of an order is not that of its lines",
        "paid",
        {"order_sums_wrong": ("order_id",)},
        (("order", "UPDATE orders SET discount = 1, shipping = shipping + 1 WHERE id = '{order_id}'"),),
    ),
    Corruption(
        "a coupon has lost count of its uses",
        "pending",
        {"coupon_uses_miscounted": ("more",)},
        (("order", COUPON),),
    ),
    Corruption(
        "a cancelled order keeps its coupon",
        "cancelled",
        {"coupon_use_disagrees": ("order_id",)},
        (
            ("order", COUPON),
            ("order", "UPDATE orders SET coupon = 'TEN' WHERE id = '{order_id}'"),
            (
                "order",
                ("INSERT INTO coupon_use (order_id, coupon_id, state) VALUES ('{order_id}', '{more}', 'reserved')"),
            ),
        ),
        is_repairable=True,
    ),
    Corruption(
        "an order has a coupon that counts no use of it",
        "paid",
        {"coupon_use_disagrees": ("order_id",)},
        (("order", "UPDATE orders SET coupon = 'TEN' WHERE id = '{order_id}'"),),
    ),
    Corruption(
        "a capture was missed by its order",
        "pending",
        {"capture_not_noted": ("more", "order_id")},
        CAPTURED,
        corrupting_actions.capture_consumed_by_order,
        is_repairable=True,
    ),
    Corruption(
        "a refund was missed by its order",
        "paid",
        {
            "refund_not_noted": ("payment_id", "order_id"),
            "refund_without_credit_note": ("more", "order_id", "payment_id"),
        },
        (
            ("payment", "UPDATE payment SET refunded = 1999, status = 'refunded' WHERE id = '{payment_id}'"),
            (
                "payment",
                (
                    "INSERT INTO refund (id, payment_id, amount, status, traceparent, request_id, settled_at) "
                    "VALUES ('{more}', '{payment_id}', 1999, 'done', '', '', now())"
                ),
            ),
            (
                "payment",
                (
                    "INSERT INTO simulator.refund (key, charge_key, amount, state) "
                    "VALUES ('{more}', '{payment_id}', 1999, 'refunded')"
                ),
            ),
            (
                "payment",
                (
                    "INSERT INTO ledger_entry (transaction_id, account, payment_id, currency, amount) VALUES "
                    "('{more}', 'gateway_receivable', '{payment_id}', 'USD', -1999), "
                    "('{more}', 'sales', '{payment_id}', 'USD', 1999)"
                ),
            ),
        ),
        corrupting_actions.refund_consumed_by_order,
        is_repairable=True,
    ),
    Corruption(
        "the money of a cancelled order is kept",
        "cancelled",
        {"cancelled_not_refunded": ("more", "order_id")},
        CAPTURED,
        corrupting_actions.capture_consumed_by_order,
        is_repairable=True,
    ),
    Corruption(
        "a payment is of no order",
        "cancelled",
        {"payment_without_order": ("more", "other")},
        (
            ("payment", "INSERT INTO bill (order_id, payment_id) VALUES ('{other}', '{more}')"),
            ("payment", PAYMENT.replace("{order_id}", "{other}").replace("STATUS", "requires_action")),
        ),
        corrupting_actions.publish_action_required,
        is_repairable=True,
    ),
    Corruption(
        "an order was not refunded",
        "paid",
        {"refunded_without_refund": ("order_id", "payment_id")},
        (
            (
                "order",
                (
                    "UPDATE orders SET status = 'refunded', "
                    """history = history || '[{{"status": "refunded", "at": "2026-01-01T00:00:00Z"}}]' """
                    "WHERE id = '{order_id}'"
                ),
            ),
        ),
        corrupting_actions.publish_order_refunded,
    ),
    Corruption(
        "the gateway has lost a charge",
        "paid",
        {"capture_unknown_to_gateway": ("payment_id", "order_id")},
        (("payment", "DELETE FROM simulator.charge WHERE key = '{payment_id}'"),),
    ),
    Corruption(
        "a capture was missed",
        "declined",
        {"capture_missed": ("payment_id", "order_id")},
        (("payment", "UPDATE simulator.charge SET state = 'captured' WHERE key = '{payment_id}'"),),
        is_repairable=True,
    ),
    Corruption("a charge has no payment", "paid", {"charge_without_payment": ("more",)}, (("payment", CHARGE),)),
    Corruption(
        "the gateway has lost a refund",
        "refunded",
        {"refund_unknown_to_gateway": (".", "payment_id")},
        (("payment", "DELETE FROM simulator.refund WHERE charge_key = '{payment_id}'"),),
    ),
)
