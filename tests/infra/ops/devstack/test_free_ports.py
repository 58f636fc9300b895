"""Free ports: checks, reservations and error texts."""

import os
import socket
from collections.abc import Iterator

import pytest

from infra.ops.devstack import free_ports
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.free_ports import LOOPBACK, PortPicker


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_port_in_use_is_reported_with_its_process_and_the_option(ports: PortPicker, taken: int) -> None:
    with pytest.raises(StackError) as caught:
        ports.reserve(taken, "NATS", "--nats-port (SOUK_NATS_PORT)")
    assert f"Port {taken} for NATS is in use by" in caught.value.message
    assert f"(process {os.getpid()})" in caught.value.message
    assert "choose another port with --nats-port (SOUK_NATS_PORT)" in caught.value.message


def test_a_port_is_reserved_once(ports: PortPicker) -> None:
    port = ports.reserve(0, "NATS", "--nats-port")
    with pytest.raises(StackError, match=f"Port {port} is used twice. Choose another port for PostgreSQL"):
        ports.reserve(port, "PostgreSQL", "--postgres-port")


def test_a_range_counts_up_from_the_first(ports: PortPicker) -> None:
    with PortPicker() as earlier:
        first = earlier.reserve(0, "an edge", "")
    assert list(ports.reserve_range(first, 1, "an edge", "")) == [first]
    assert len(set(ports.reserve_range(0, 5, "an edge", ""))) == 5


def test_two_stacks_that_start_together_pick_different_ports(
    ports: PortPicker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither listens yet; the second is offered the first one's port only."""
    port = ports.reserve(0, "NATS", "--nats-port")
    monkeypatch.setattr(free_ports, "FREE_RANGE", range(port, port + 1))
    with PortPicker() as other, pytest.raises(StackError, match="Found no free port"):
        other.reserve(0, "NATS", "--nats-port")


def test_the_server_can_listen_on_a_port_that_is_held_for_it(ports: PortPicker) -> None:
    address = (LOOPBACK, ports.reserve(0, "NATS", "--nats-port"))
    for _ in range(2):  # and again after a crash
        with socket.create_server(address), socket.create_connection(address):
            pass
    with pytest.raises(ConnectionRefusedError), socket.create_connection(address):
        pass


def test_a_port_is_free_again_when_its_picker_is_closed(ports: PortPicker, monkeypatch: pytest.MonkeyPatch) -> None:
    with PortPicker() as earlier:
        port = earlier.reserve(0, "NATS", "--nats-port")
    monkeypatch.setattr(free_ports, "FREE_RANGE", range(port, port + 1))
    assert ports.reserve(0, "NATS", "--nats-port") == port
