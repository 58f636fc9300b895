"""What it takes more than a statement of SQL to plant."""

from datetime import UTC, datetime, timedelta

from contracts.catalog import HoldLost
from contracts.order import OrderDelivered, OrderPaid, OrderPlaced, OrderRefunded
from contracts.payment import PaymentActionRequired, PaymentCaptured, PaymentRefunded
from infra.foundation.ids import new_id
from tests.infra.ops.verify.shop_scene import PRICE, SceneOrder, ShopScene


async def capture_consumed_by_order(scene: ShopScene, thing: SceneOrder) -> None:
    """The order has heard of the payment `more`, and of nothing else."""
    money = {"amount": PRICE, "currency": "USD"}
    ids = {"payment_id": str(thing.ids["more"]), "order_id": str(thing.order.id)}
    event_id = new_id()
    await scene.publish_raw(PaymentCaptured, thing.ids["more"], event_id, **ids, amount=money)
    await scene.mark_consumed(event_id, "order")


async def publish_action_required(scene: ShopScene, thing: SceneOrder) -> None:
    await scene.publish_raw(PaymentActionRequired, thing.ids["more"])


async def refund_consumed_by_order(scene: ShopScene, thing: SceneOrder) -> None:
    event_id = new_id()
    await scene.publish_raw(PaymentRefunded, thing.ids["payment_id"], event_id)
    await scene.mark_consumed(event_id, "order")


async def publish_order_refunded(scene: ShopScene, thing: SceneOrder) -> None:
    await scene.publish_raw(OrderRefunded, thing.order.id)


async def hold_loss_consumed_by_order(scene: ShopScene, thing: SceneOrder) -> None:
    event_id = new_id()
    await scene.publish_raw(HoldLost, thing.ids["hold_id"], event_id)
    await scene.mark_consumed(event_id, "order")


async def delete_inbox_row(scene: ShopScene, thing: SceneOrder) -> None:
    seq, event_id, _ = await scene.first_event(OrderPaid, thing.order.id)
    thing.ids["sequence"], thing.ids["event_id"] = seq, event_id
    await scene.databases["catalog"].execute("DELETE FROM inbox WHERE event_id = $1", event_id)


async def delete_paid_event(scene: ShopScene, thing: SceneOrder) -> None:
    await scene.delete_event(OrderPaid, thing.order.id)


async def delete_captured_event(scene: ShopScene, thing: SceneOrder) -> None:
    await scene.delete_event(PaymentCaptured, thing.ids["payment_id"])


async def publish_delivered(scene: ShopScene, thing: SceneOrder) -> None:
    await scene.publish_raw(OrderDelivered, thing.order.id)


async def move_placed_to_end(scene: ShopScene, thing: SceneOrder) -> None:
    _, event_id, _ = await scene.delete_event(OrderPlaced, thing.order.id)
    await scene.publish_raw(OrderPlaced, thing.order.id, event_id)


async def move_captured_to_end(scene: ShopScene, thing: SceneOrder) -> None:
    _, event_id, _ = await scene.delete_event(PaymentCaptured, thing.ids["payment_id"])
    await scene.publish_raw(PaymentCaptured, thing.ids["payment_id"], event_id)


async def remove_order_from_cart(scene: ShopScene, thing: SceneOrder) -> None:
    thing.ids["sequence"], _, _ = await scene.first_event(OrderPlaced, thing.order.id)
    await scene.carts.update_one({"reference": thing.ids["cart"]}, {"$pull": {"ordered": thing.order.id}})


async def change_cart_owner(scene: ShopScene, thing: SceneOrder) -> None:
    await scene.carts.update_one({"reference": thing.ids["cart"]}, {"$set": {"user_id": thing.ids["other"]}})


async def publish_dead_letter(scene: ShopScene, thing: SceneOrder) -> None:
    header = {"ce-id": str(thing.ids["more"]), "ce-type": "souk.order.paid", "Souk-Dead-Service": "catalog"}
    done = await scene.operator.jetstream().publish("dead.catalog.ORDER", b"{}", headers=header)
    thing.ids |= {"event_id": thing.ids["more"], "sequence": done.seq}


async def leave_event_in_outbox(scene: ShopScene, thing: SceneOrder) -> None:
    """An order that has just arrived, whose event nobody has published."""
    at = datetime.now(UTC) - timedelta(hours=1)
    thing.ids["event_id"] = thing.ids["more"]
    event = OrderDelivered(
        order_id=thing.order.id, number=thing.order.number, user_id=thing.order.user_id, total=thing.order.total
    )
    await scene.databases["order"].execute(
        "INSERT INTO outbox (id, subject, type, source, body, traceparent, request_id, created_at) "
        "VALUES ($1, $2, $3, $4, $5, '', '', $6)",
        *(thing.ids["more"], event.subject, event.ce_type(), event.ce_source(), event.model_dump_json(), at),
    )
