"""Corruptions that take more than SQL statements: events, carts and inboxes."""

from datetime import UTC, datetime, timedelta

from contracts.catalog import HoldLost
from contracts.order import (
    OrderDelivered,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderShipped,
    OrderUnitsCancelled,
)
from contracts.payment import PaymentActionRequired, PaymentCaptured, PaymentRefunded
from infra.foundation.ids import new_id
from tests.infra.ops.verify.shop_scene import PRICE, SceneOrder, ShopScene


async def capture_consumed_by_order(scene: ShopScene, scene_order: SceneOrder) -> None:
    """The order service has consumed the capture of payment `more` and nothing else."""
    money = {"amount": PRICE, "currency": "USD"}
    ids = {"payment_id": str(scene_order.ids["more"]), "order_id": str(scene_order.order.id)}
    event_id = new_id()
    await scene.publish_raw(PaymentCaptured, scene_order.ids["more"], event_id, **ids, amount=money)
    await scene.mark_consumed(event_id, "order")


async def publish_action_required(scene: ShopScene, scene_order: SceneOrder) -> None:
    await scene.publish_raw(PaymentActionRequired, scene_order.ids["more"])


async def refund_consumed_by_order(scene: ShopScene, scene_order: SceneOrder) -> None:
    event_id = new_id()
    await scene.publish_raw(PaymentRefunded, scene_order.ids["payment_id"], event_id)
    await scene.mark_consumed(event_id, "order")


async def publish_order_refunded(scene: ShopScene, scene_order: SceneOrder) -> None:
    await scene.publish_raw(OrderRefunded, scene_order.order.id)


async def hold_loss_consumed_by_order(scene: ShopScene, scene_order: SceneOrder) -> None:
    event_id = new_id()
    await scene.publish_raw(HoldLost, scene_order.ids["hold_id"], event_id)
    await scene.mark_consumed(event_id, "order")


async def delete_inbox_row(scene: ShopScene, scene_order: SceneOrder) -> None:
    seq, event_id, _ = await scene.first_event(OrderPaid, scene_order.order.id)
    scene_order.ids["sequence"], scene_order.ids["event_id"] = seq, event_id
    await scene.databases["catalog"].execute("DELETE FROM inbox WHERE event_id = $1", event_id)


async def delete_paid_event(scene: ShopScene, scene_order: SceneOrder) -> None:
    await scene.delete_event(OrderPaid, scene_order.order.id)


async def delete_shipped_event(scene: ShopScene, scene_order: SceneOrder) -> None:
    """That of the first of two parcels."""
    await scene.delete_event(OrderShipped, scene_order.order.id)


async def delete_units_cancelled_event(scene: ShopScene, scene_order: SceneOrder) -> None:
    await scene.delete_event(OrderUnitsCancelled, scene_order.order.id)


async def delete_captured_event(scene: ShopScene, scene_order: SceneOrder) -> None:
    await scene.delete_event(PaymentCaptured, scene_order.ids["payment_id"])


async def publish_delivered(scene: ShopScene, scene_order: SceneOrder) -> None:
    await scene.publish_raw(OrderDelivered, scene_order.order.id)


async def move_placed_to_end(scene: ShopScene, scene_order: SceneOrder) -> None:
    _, event_id, _ = await scene.delete_event(OrderPlaced, scene_order.order.id)
    await scene.publish_raw(OrderPlaced, scene_order.order.id, event_id)


async def move_captured_to_end(scene: ShopScene, scene_order: SceneOrder) -> None:
    _, event_id, _ = await scene.delete_event(PaymentCaptured, scene_order.ids["payment_id"])
    await scene.publish_raw(PaymentCaptured, scene_order.ids["payment_id"], event_id)


async def remove_order_from_cart(scene: ShopScene, scene_order: SceneOrder) -> None:
    await scene.carts.update_one({"reference": scene_order.ids["cart"]}, {"$pull": {"ordered": scene_order.order.id}})


async def change_cart_owner(scene: ShopScene, scene_order: SceneOrder) -> None:
    await scene.carts.update_one(
        {"reference": scene_order.ids["cart"]}, {"$set": {"user_id": scene_order.ids["other"]}}
    )


async def publish_dead_letter(scene: ShopScene, scene_order: SceneOrder) -> None:
    header = {"ce-id": str(scene_order.ids["more"]), "ce-type": "souk.order.paid", "Souk-Dead-Service": "catalog"}
    done = await scene.operator.jetstream().publish("dead.catalog.ORDER", b"{}", headers=header)
    scene_order.ids |= {"event_id": scene_order.ids["more"], "sequence": done.seq}


async def leave_event_in_outbox(scene: ShopScene, scene_order: SceneOrder) -> None:
    """A delivered event stays in the outbox for an hour."""
    at = datetime.now(UTC) - timedelta(hours=1)
    scene_order.ids["event_id"] = scene_order.ids["more"]
    event = OrderDelivered(
        order_id=scene_order.order.id,
        number=scene_order.order.number,
        user_id=scene_order.order.user_id,
        total=scene_order.order.total,
    )
    await scene.databases["order"].execute(
        "INSERT INTO outbox (id, subject, type, source, body, traceparent, request_id, created_at) "
        "VALUES ($1, $2, $3, $4, $5, '', '', $6)",
        *(scene_order.ids["more"], event.subject, event.ce_type(), event.ce_source(), event.model_dump_json(), at),
    )
