"""The errors that a connection reports, and which of them make a process not ready."""

import asyncio
from contextlib import suppress

import pytest
from asyncpg import InterfaceError

from infra.foundation.telemetry import Metrics
from infra.messaging import connection
from infra.messaging.connection import ConnectionMonitor, connect, finish_connecting
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually


async def test_denied_subject_is_remembered_and_expired_reply_is_not(kernel: KernelStack) -> None:
    """A restarted server has forgotten which replies a service may send."""
    monitor = ConnectionMonitor(Metrics())

    def error_count(kind: str) -> float | None:
        return monitor.metrics.registry.get_sample_value("souk_nats_errors_total", {"kind": kind})

    password = kernel.stack.nats_password("order")
    async with connect(kernel.stack.nats_url, "order", password, monitor) as client:
        await client.publish("_INBOX_edge.gone.1", b"too late")
        await eventually(lambda: error_count("expired_reply"))
        assert monitor.denied_subjects == []
        await client.publish("event.user.1.banned", b"not ours to say")
        await eventually(lambda: monitor.denied_subjects)
    assert error_count("permission") == 1


async def test_an_attempt_to_connect_that_loses_a_cancellation_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_SECONDS", 0.01)

    async def connect_again_and_again() -> None:
        with suppress(asyncio.CancelledError):  # as `asyncio.wait_for` does when an attempt fails at that moment
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    connecting = asyncio.create_task(finish_connecting(connect_again_and_again()))
    assert (await asyncio.wait([connecting], timeout=5))[0]
    assert isinstance(connecting.exception(), TimeoutError)


async def test_a_refused_connection_is_raised_at_once() -> None:
    async def refuse() -> None:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        await finish_connecting(refuse())


async def test_replaced_database_connection_is_a_short_event(caplog: pytest.LogCaptureFixture) -> None:
    """Asyncpg raises this for work that a freeze interrupted; a traceback would help no one."""
    monitor = ConnectionMonitor(Metrics())
    await monitor.on_error(
        InterfaceError("cannot call Connection.execute(): connection has been released back to the pool")
    )
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert monitor.denied_subjects == []
