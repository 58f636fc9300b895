"""Metrics of what waits in JetStream for a service."""

from nats.aio.client import Client

from infra.foundation.telemetry import Metrics
from infra.messaging.lag_metrics import LagMetrics
from infra.messaging.topology import consumers_for
from tests.infra.conftest import KernelStack
from tests.infra.messaging.test_consumer import payment_captured, publish_event


async def test_waiting_events_and_dead_letters_are_counted(kernel: KernelStack, kernel_client: Client) -> None:
    """The service is not running, and measures with its own permissions."""
    metrics = Metrics()
    async with kernel.client("order") as client:
        measured = LagMetrics("order", consumers_for("order"), client.jetstream(), metrics)
        await measured.measure()
        waiting = metrics.registry.get_sample_value("souk_consumer_pending", {"stream": "PAYMENT"})
        dead = metrics.registry.get_sample_value("souk_dead_letters")
        assert waiting is not None
        assert dead is not None
        await publish_event(kernel_client, payment_captured())
        js = kernel_client.jetstream()
        stored = [await js.publish(subject, b"{}") for subject in ("dead.order.PAYMENT", "dead.cart.ORDER")]
        await measured.measure()
        for ack in stored:
            await js.delete_msg(ack.stream, ack.seq)
    assert metrics.registry.get_sample_value("souk_consumer_pending", {"stream": "PAYMENT"}) == waiting + 1
    assert metrics.registry.get_sample_value("souk_consumer_ack_pending", {"stream": "PAYMENT"}) == 0
    assert metrics.registry.get_sample_value("souk_dead_letters") == dead + 1


async def test_an_outage_leaves_the_last_values(kernel: KernelStack) -> None:
    metrics = Metrics()
    async with kernel.client("order") as client:
        measured = LagMetrics("order", consumers_for("order"), client.jetstream(), metrics)
    assert not await measured.measure(), "the connection is closed"
