"""What it takes more than a statement of SQL to plant."""

from datetime import UTC, datetime, timedelta

from contracts.catalog import HoldLost
from contracts.order import OrderDelivered, OrderPaid, OrderPlaced, OrderRefunded
from contracts.payment import PaymentActionRequired, PaymentCaptured, PaymentRefunded
from infra.foundation.ids import new_id
from tests.infra.ops.verify.shop_scene import PRICE, Scene, Thing


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


async def refund_said(scene: Scene, thing: Thing) -> None:
    await scene.say(OrderRefunded, thing.order.id)


async def loss_heard(scene: Scene, thing: Thing) -> None:
    event_id = new_id()
    await scene.say(HoldLost, thing.ids["hold_id"], event_id)
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
