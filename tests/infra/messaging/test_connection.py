"""What a connection complains of, and what of it makes a process not ready."""

from infra.foundation.telemetry import Metrics
from infra.messaging import connection as messaging
from infra.messaging.connection import ConnectionMonitor
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually


async def test_a_denied_subject_is_remembered_and_a_late_reply_is_not(kernel: KernelStack) -> None:
    """A server that was restarted has forgotten whom a service may answer."""
    watch = ConnectionMonitor(Metrics())

    def counted(kind: str) -> float | None:
        return watch.metrics.registry.get_sample_value("souk_nats_errors_total", {"kind": kind})

    password = kernel.stack.password("order")
    async with messaging.connect(kernel.stack.nats_url, "order", password, watch) as client:
        await client.publish("_INBOX_edge.gone.1", b"too late")
        await eventually(lambda: counted("late reply"))
        assert watch.denied_subjects == []
        await client.publish("event.user.1.banned", b"not ours to say")
        await eventually(lambda: watch.denied_subjects)
    assert counted("permission") == 1
