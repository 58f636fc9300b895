"""Every kind of corruption, each planted into an order of its own, and what the audit is to say of it.

`{order_id}` and so on are the ids of that order's things; `{other}` and `{more}` are ids that nobody has.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from contracts.order import OrderDelivered, OrderPaid, OrderPlaced
from contracts.payment import PaymentActionRequired, PaymentCaptured, PaymentRefunded
from infra.ids import new_id
from tests.infra.audit.scene import PRICE, Scene, Thing

Deed = Callable[[Scene, Thing], Awaitable[None]]


@dataclass(frozen=True)
class Plant:
    """A corruption: what it is done to, how, what is found (check: names of its ids), and whether it can be mended."""

    name: str
    to: str
    found: Mapping[str, tuple[str, ...]]
    sql: tuple[tuple[str, str], ...] = ()
    deed: Deed | None = None
    mended: bool = False

    def things(self, thing: Thing) -> list[tuple[str, ...]]:
        """Check and ids of what is to be found; `.` is whatever it is."""
        return [(check, *(str(thing.ids.get(name, name)) for name in names)) for check, names in self.found.items()]

    async def plant(self, scene: Scene, thing: Thing) -> None:
        for service, statement in self.sql:
            await scene.sql(service, statement, thing.ids)
        if self.deed is not None:
            await self.deed(scene, thing)


PAYMENT = """INSERT INTO payment (id, order_id, user_id, amount, currency, status, provider, traceparent, request_id)
    VALUES ('{more}', '{order_id}', '{user_id}', 1999, 'USD', 'STATUS', 'simulator', '', '')"""
BILL = """INSERT INTO bill (order_id, payment_id) VALUES ('{order_id}', '{more}')
    ON CONFLICT (order_id) DO UPDATE SET payment_id = excluded.payment_id"""
CHARGE = """INSERT INTO simulator.charge (key, token, amount, currency, state)
    VALUES ('{more}', 'sim_ok', 1999, 'USD', 'captured')"""
LEDGER = """INSERT INTO ledger_entry (transaction_id, account, payment_id, currency, amount) VALUES
    ('{more}', 'gateway_receivable', '{more}', 'USD', 1999), ('{more}', 'sales', '{more}', 'USD', -1999)"""
CAPTURED = tuple(("payment", one) for one in (BILL, PAYMENT.replace("STATUS", "captured"), CHARGE, LEDGER))
PROCESSING = tuple(("payment", one) for one in (BILL, PAYMENT.replace("STATUS", "processing")))
APPEND_ONLY = "ALTER TABLE ledger_entry {} TRIGGER ledger_is_append_only"
BALANCED = "ALTER TABLE ledger_entry {} TRIGGER ledger_balances"


async def captured_and_heard(scene: Scene, thing: Thing) -> None:
    """The order has heard of the payment `more`, and of nothing else."""
    money = {"amount": PRICE, "currency": "USD"}
    ids = {"payment_id": str(thing.ids["more"]), "order_id": str(thing.order.id)}
    event_id = new_id()
    await scene.say(PaymentCaptured, thing.ids["more"], event_id, **ids, amount=money)
    await scene.known(event_id, "order")


async def action_required(scene: Scene, thing: Thing) -> None:
    await scene.say(PaymentActionRequired, thing.ids["more"])


async def refund_heard(scene: Scene, thing: Thing) -> None:
    event_id = new_id()
    await scene.say(PaymentRefunded, thing.ids["payment_id"], event_id)
    await scene.known(event_id, "order")


async def inbox_row_lost(scene: Scene, thing: Thing) -> None:
    seq, event_id, _ = await scene.find(OrderPaid, thing.order.id)
    thing.ids["sequence"], thing.ids["event_id"] = seq, event_id
    await scene.databases["catalog"].execute("DELETE FROM inbox WHERE event_id = $1", event_id)


async def paid_unsaid(scene: Scene, thing: Thing) -> None:
    await scene.unsay(OrderPaid, thing.order.id)


async def capture_unsaid(scene: Scene, thing: Thing) -> None:
    await scene.unsay(PaymentCaptured, thing.ids["payment_id"])


async def delivered_said(scene: Scene, thing: Thing) -> None:
    await scene.say(OrderDelivered, thing.order.id)


async def placed_last(scene: Scene, thing: Thing) -> None:
    _, event_id, _ = await scene.unsay(OrderPlaced, thing.order.id)
    await scene.say(OrderPlaced, thing.order.id, event_id)


async def captured_last(scene: Scene, thing: Thing) -> None:
    _, event_id, _ = await scene.unsay(PaymentCaptured, thing.ids["payment_id"])
    await scene.say(PaymentCaptured, thing.ids["payment_id"], event_id)


async def cart_forgets(scene: Scene, thing: Thing) -> None:
    thing.ids["sequence"], _, _ = await scene.find(OrderPlaced, thing.order.id)
    await scene.carts.update_one({"reference": thing.ids["cart"]}, {"$pull": {"ordered": thing.order.id}})


async def cart_given_away(scene: Scene, thing: Thing) -> None:
    await scene.carts.update_one({"reference": thing.ids["cart"]}, {"$set": {"user_id": thing.ids["other"]}})


async def buried(scene: Scene, thing: Thing) -> None:
    header = {"ce-id": str(thing.ids["more"]), "ce-type": "souk.order.paid", "Souk-Dead-Service": "catalog"}
    done = await scene.operator.jetstream().publish("dead.catalog.ORDER", b"{}", headers=header)
    thing.ids |= {"event_id": thing.ids["more"], "sequence": done.seq}


async def left_in_outbox(scene: Scene, thing: Thing) -> None:
    """An order that has just arrived, whose event nobody has published."""
    at = datetime.now(UTC) - timedelta(hours=1)
    thing.ids["event_id"] = thing.ids["more"]
    event = OrderDelivered(
        order_id=thing.order.id, number=thing.order.number, user_id=thing.order.user_id, total=thing.order.total
    )
    await scene.databases["order"].execute(
        "INSERT INTO outbox (id, subject, type, source, body, traceparent, request_id, created_at) "
        "VALUES ($1, $2, $3, $4, $5, '', '', $6)",
        *(thing.ids["more"], event.subject, event.type(), event.source(), event.model_dump_json(), at),
    )


PLANTS = (
    # Stock.
    Plant(
        "more is on hand than was moved", "paid", {"stock_out_of_balance": ("sku",)},
        (("catalog", "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = '{sku}'"),),
    ),
    Plant(
        "more is reserved than is held", "paid", {"stock_out_of_balance": ("sku",)},
        (("catalog", "UPDATE stock SET reserved = reserved + 1 WHERE sku = '{sku}'"),), mended=True,
    ),
    Plant(
        "more is reserved than there is", "paid", {"stock_out_of_bounds": ("sku",), "stock_out_of_balance": ("sku",)},
        (
            ("catalog", "ALTER TABLE stock DROP CONSTRAINT stock_law"),
            ("catalog", "UPDATE stock SET reserved = on_hand + 1 WHERE sku = '{sku}'"),
        ),
        mended=True,
    ),
    Plant(
        "a hold has other goods", "paid", {"hold_of_other_goods": ("order_id", "hold_id")},
        (("catalog", "UPDATE hold SET quantities = '{{7}}' WHERE id = '{hold_id}'"),),
    ),
    Plant(
        "a hold is gone", "pending", {"order_without_hold": ("order_id", "hold_id"), "stock_out_of_balance": ("sku",)},
        (("catalog", "DELETE FROM hold WHERE id = '{hold_id}'"),),
        mended=True,
    ),
    Plant(
        "a hold has run out", "pending", {"hold_not_ended": ("hold_id",)},
        (("catalog", "UPDATE hold SET expires_at = now() - interval '1 hour' WHERE id = '{hold_id}'"),), mended=True,
    ),
    Plant(
        "stock does not follow a hold", "cancelled", {"hold_not_settled": ("hold_id",)},
        (
            ("catalog", "UPDATE hold SET taken = 'reserved' WHERE id = '{hold_id}'"),
            ("catalog", "UPDATE stock SET reserved = reserved + 1 WHERE sku = '{sku}'"),
        ),
        mended=True,
    ),
    Plant(
        "a sale was missed", "paid", {"order_not_sold": ("order_id", "hold_id")},
        (
            ("catalog", "UPDATE hold SET status = 'held', taken = 'reserved' WHERE id = '{hold_id}'"),
            ("catalog", "UPDATE stock SET reserved = 1, on_hand = on_hand + 1 WHERE sku = '{sku}'"),
            ("catalog", "DELETE FROM stock_movement WHERE sku = '{sku}' AND kind = 'sold'"),
        ),
        mended=True,
    ),
    Plant(
        "a cancellation was missed", "cancelled", {"cancelled_order_keeps_stock": ("order_id", "hold_id")},
        (
            ("catalog", "UPDATE hold SET status = 'held', taken = 'reserved' WHERE id = '{hold_id}'"),
            ("catalog", "UPDATE stock SET reserved = 1 WHERE sku = '{sku}'"),
        ),
        mended=True,
    ),
    Plant(
        "stock was sold for nobody", "pending", {"sold_without_order": ("hold_id", "order_id")},
        (
            ("catalog", "UPDATE hold SET status = 'sold', taken = 'sold' WHERE id = '{hold_id}'"),
            ("catalog", "UPDATE stock SET reserved = 0, on_hand = on_hand - 1 WHERE sku = '{sku}'"),
            ("catalog", "INSERT INTO stock_movement (sku, kind, quantity) VALUES ('{sku}', 'sold', -1)"),
        ),
    ),
    # Orders that wait for nothing.
    Plant(
        "an order was not given up", "pending", {"order_not_given_up": ("order_id",)},
        (("order", "UPDATE orders SET pay_by = now() - interval '1 hour' WHERE id = '{order_id}'"),), mended=True,
    ),
    Plant(
        "a charge was left", "pending", {"charge_overdue": ("more",)},
        (
            *PROCESSING,
            (
                "payment",
                ("INSERT INTO attempt (payment_id, step, due_at, begun_at) "
                "VALUES ('{more}', 'charge', now() - interval '1 hour', now() - interval '1 hour')"),
            ),
        ),
        mended=True,
    ),
    Plant("a charge was forgotten", "pending", {"charge_forgotten": ("more",)}, PROCESSING, mended=True),
    Plant(
        "a refund was left", "paid", {"refund_overdue": ("payment_id", "more")},
        (
            (
                "payment",
                ("INSERT INTO refund (id, payment_id, amount, due_at, traceparent, request_id) "
                "VALUES ('{more}', '{payment_id}', 5, now() - interval '1 hour', '', '')"),
            ),
            ("payment", "UPDATE payment SET refunding = 5 WHERE id = '{payment_id}'"),
        ),
        mended=True,
    ),
    Plant(
        "an event was not published", "paid", {"event_not_published": (".", "event_id")},
        (
            (
                "order",
                ("UPDATE orders SET status = 'delivered', "
                """history = history || '[{{"status": "delivered", "at": "2026-01-01T00:00:00Z"}}]' """
                "WHERE id = '{order_id}'"),
            ),
        ),
        left_in_outbox, mended=True,
    ),
    # Money.
    Plant(
        "an order was paid twice", "paid",
        {"paid_twice": ("more", "order_id"), "charged_twice": ("order_id",)}, CAPTURED[1:], captured_and_heard,
        mended=True,
    ),
    Plant(
        "refunds do not add up", "paid", {"refunds_do_not_add_up": ("payment_id",)},
        (("payment", "UPDATE payment SET refunding = 1 WHERE id = '{payment_id}'"),), mended=True,
    ),
    Plant(
        "the gateway gave too much back", "paid",
        {"refunded_too_much": ("payment_id",), "refund_missed": ("more", "payment_id")},
        (
            (
                "payment",
                ("INSERT INTO simulator.refund (key, charge_key, amount, state) "
                "VALUES ('{more}', '{payment_id}', 5000, 'refunded')"),
            ),
        ),
    ),
    Plant(
        "the ledger has one leg too many", "paid", {"ledger_out_of_balance": (".",)},
        (
            ("payment", BALANCED.format("DISABLE")),
            (
                "payment",
                ("INSERT INTO ledger_entry (transaction_id, account, payment_id, currency, amount) "
                "VALUES ('{more}', 'sales', '{payment_id}', 'USD', 3)"),
            ),
            ("payment", BALANCED.format("ENABLE")),
        ),
    ),
    Plant(
        "the ledger has lost a payment", "paid", {"ledger_disagrees": ("payment_id",)},
        (
            ("payment", APPEND_ONLY.format("DISABLE")),
            ("payment", "DELETE FROM ledger_entry WHERE payment_id = '{payment_id}'"),
            ("payment", APPEND_ONLY.format("ENABLE")),
        ),
        mended=True,
    ),
    Plant(
        "an order is paid by too little", "paid", {"paid_without_payment": ("order_id", "payment_id")},
        (("order", "UPDATE orders SET total = total + 1, subtotal = subtotal + 1 WHERE id = '{order_id}'"),),
    ),
    Plant(
        "a capture was missed by its order", "pending", {"capture_not_noted": ("more", "order_id")},
        CAPTURED, captured_and_heard, mended=True,
    ),
    Plant(
        "a refund was missed by its order", "paid", {"refund_not_noted": ("payment_id", "order_id")},
        (
            ("payment", "UPDATE payment SET refunded = 1999, status = 'refunded' WHERE id = '{payment_id}'"),
            (
                "payment",
                ("INSERT INTO refund (id, payment_id, amount, status, traceparent, request_id, settled_at) "
                "VALUES ('{more}', '{payment_id}', 1999, 'done', '', '', now())"),
            ),
            (
                "payment",
                ("INSERT INTO simulator.refund (key, charge_key, amount, state) "
                "VALUES ('{more}', '{payment_id}', 1999, 'refunded')"),
            ),
            (
                "payment",
                ("INSERT INTO ledger_entry (transaction_id, account, payment_id, currency, amount) VALUES "
                "('{more}', 'gateway_receivable', '{payment_id}', 'USD', -1999), "
                "('{more}', 'sales', '{payment_id}', 'USD', 1999)"),
            ),
        ),
        refund_heard, mended=True,
    ),
    Plant(
        "the money of a cancelled order is kept", "cancelled", {"cancelled_not_refunded": ("more", "order_id")},
        CAPTURED, captured_and_heard, mended=True,
    ),
    Plant(
        "a payment is of no order", "cancelled", {"payment_without_order": ("more", "other")},
        (
            ("payment", "INSERT INTO bill (order_id, payment_id) VALUES ('{other}', '{more}')"),
            ("payment", PAYMENT.replace("{order_id}", "{other}").replace("STATUS", "requires_action")),
        ),
        action_required, mended=True,
    ),
    Plant(
        "the gateway has lost a charge", "paid", {"capture_unknown_to_gateway": ("payment_id", "order_id")},
        (("payment", "DELETE FROM simulator.charge WHERE key = '{payment_id}'"),),
    ),
    Plant(
        "a capture was missed", "declined", {"capture_missed": ("payment_id", "order_id")},
        (("payment", "UPDATE simulator.charge SET state = 'captured' WHERE key = '{payment_id}'"),), mended=True,
    ),
    Plant("a charge is of nobody", "paid", {"charge_without_payment": ("more",)}, (("payment", CHARGE),)),
    Plant(
        "the gateway has lost a refund", "refunded", {"refund_unknown_to_gateway": (".", "payment_id")},
        (("payment", "DELETE FROM simulator.refund WHERE charge_key = '{payment_id}'"),),
    ),
    # Events.
    Plant("an event is dead", "paid", {"dead_letter": ("sequence", ".", "event_id")}, deed=buried),
    Plant(
        "an event was missed", "paid", {"event_missed": (".", ".", "sequence", "event_id")}, deed=inbox_row_lost,
        mended=True,
    ),
    Plant("an order is silent", "paid", {"order_untold": ("order_id",)}, deed=paid_unsaid, mended=True),
    Plant("an order did not arrive", "paid", {"order_event_without_step": ("order_id",)}, deed=delivered_said),
    Plant("an order was placed last", "paid", {"order_told_out_of_order": ("order_id",)}, deed=placed_last),
    Plant(
        "an order is not what its history says", "paid", {"order_without_step": ("order_id",)},
        (("order", "UPDATE orders SET status = 'shipped' WHERE id = '{order_id}'"),),
    ),
    Plant(
        "a payment is silent", "paid", {"payment_untold": ("payment_id", "order_id")}, deed=capture_unsaid,
        mended=True,
    ),
    Plant(
        "a payment was not refunded", "paid", {"payment_event_without_payment": ("payment_id", "order_id")},
        deed=refund_heard,
    ),
    Plant(
        "a payment was captured last", "refunded", {"payment_told_out_of_order": ("payment_id",)}, deed=captured_last
    ),
    Plant(
        "a lost hold is silent", "cancelled", {"lost_hold_untold": ("more",)},
        (
            (
                "catalog",
                ("INSERT INTO hold (id, status, taken, fingerprint, skus, quantities, answer, expires_at) "
                "VALUES ('{more}', 'lost', 'nothing', '', '{{}}', '{{}}', '', now())"),
            ),
        ),
        mended=True,
    ),
    Plant(
        "a cart was not emptied", "from_cart", {"cart_not_emptied": (".", ".", "sequence", "order_id", "cart")},
        deed=cart_forgets, mended=True,
    ),
    Plant(
        "a mail is missing", "paid", {"mail_missing": ("order_id", ".")},
        (("notification", "DELETE FROM delivery WHERE order_id = '{order_id}' AND kind = 'order_paid'"),), mended=True,
    ),
    Plant(
        "a mail waits", "paid", {"mail_overdue": (".",)},
        (
            (
                "notification",
                ("UPDATE delivery SET status = 'queued', sent_at = NULL, due_at = now() + interval '1 hour', "
                "created_at = now() - interval '2 days' WHERE order_id = '{order_id}' AND kind = 'order_paid'"),
            ),
        ),
    ),
    # Whose it is.
    Plant(
        "somebody else has paid", "paid", {"paid_by_another": ("payment_id", "order_id")},
        (("payment", "UPDATE payment SET user_id = '{other}' WHERE id = '{payment_id}'"),),
    ),
    Plant("a cart was somebody else's", "from_cart", {"cart_of_another": ("order_id", "cart")}, deed=cart_given_away),
    Plant(
        "somebody else was told", "paid", {"mail_to_another": ("order_id", ".")},
        (
            (
                "notification",
                "UPDATE delivery SET user_id = '{other}' WHERE order_id = '{order_id}' AND kind = 'order_paid'",
            ),
        ),
    ),
)  # fmt: skip
