import os
import socket
from collections.abc import Iterator

import pytest

from infra.ops.devstack.errors import StackError
from infra.ops.devstack.free_ports import LOOPBACK, Ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_taken_port_is_told_with_its_holder_and_the_way_out(taken: int) -> None:
    with pytest.raises(StackError) as caught:
        Ports().take(taken, "NATS", "--nats-port (SOUK_NATS_PORT)")
    assert f"Port {taken}, which NATS needs, is taken by" in caught.value.message
    assert f"(process {os.getpid()})" in caught.value.message
    assert "choose another with --nats-port (SOUK_NATS_PORT)" in caught.value.message


def test_one_port_is_not_given_to_two() -> None:
    ports = Ports()
    port = ports.take(0, "NATS", "--nats-port")
    with pytest.raises(StackError, match=f"Port {port} was given twice: PostgreSQL"):
        ports.take(port, "PostgreSQL", "--postgres-port")


def test_several_count_upwards_from_the_first() -> None:
    first = Ports().take(0, "an edge", "")
    assert list(Ports().take_from(first, 1, "an edge", "")) == [first]
    assert len(set(Ports().take_from(0, 5, "an edge", ""))) == 5
