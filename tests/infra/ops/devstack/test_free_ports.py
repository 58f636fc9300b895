"""Free ports: checks, reservations and error texts."""

import os
import socket
from collections.abc import Iterator

import pytest

from infra.ops.devstack.errors import StackError
from infra.ops.devstack.free_ports import LOOPBACK, PortPicker


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_port_in_use_is_reported_with_its_process_and_the_option(taken: int) -> None:
    with pytest.raises(StackError) as caught:
        PortPicker().reserve(taken, "NATS", "--nats-port (SOUK_NATS_PORT)")
    assert f"Port {taken} for NATS is in use by" in caught.value.message
    assert f"(process {os.getpid()})" in caught.value.message
    assert "choose another port with --nats-port (SOUK_NATS_PORT)" in caught.value.message


def test_a_port_is_reserved_once() -> None:
    ports = PortPicker()
    port = ports.reserve(0, "NATS", "--nats-port")
    with pytest.raises(StackError, match=f"Port {port} is used twice. Choose another port for PostgreSQL"):
        ports.reserve(port, "PostgreSQL", "--postgres-port")


def test_a_range_counts_up_from_the_first() -> None:
    first = PortPicker().reserve(0, "an edge", "")
    assert list(PortPicker().reserve_range(first, 1, "an edge", "")) == [first]
    assert len(set(PortPicker().reserve_range(0, 5, "an edge", ""))) == 5
