"""Checks each port before anything starts, and picks a free one for port 0."""

import random
import socket
from collections.abc import Sequence
from contextlib import closing, suppress

import psutil

from infra.ops.devstack.errors import StackError

LOOPBACK = "127.0.0.1"
FREE_RANGE = range(20000, 32000)
"""Above the well-known ports, and below those that the kernel uses for outgoing connections."""
MAX_ATTEMPTS = 200


class PortPicker:
    """Reserves each port at most once."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def reserve(self, port: int, purpose: str, option: str) -> int:
        """Returns `port`, or a free one for 0. `purpose` and `option` explain a refusal to the user."""
        if port == 0:
            return self._free_port()
        if port in self._taken:
            raise StackError(f"Port {port} is used twice. Choose another port for {purpose} with {option}.")
        if not is_free(port):
            raise StackError(
                f"Port {port} for {purpose} is in use{_holder(port)}. "
                f"Stop that process, or choose another port with {option}."
            )
        self._taken.add(port)
        return port

    def reserve_range(self, first: int, count: int, purpose: str, option: str) -> Sequence[int]:
        """Reserves `count` ports that count up from `first`, or any free ones for 0."""
        return [self.reserve(first and first + n, purpose, option) for n in range(count)]

    def _free_port(self) -> int:
        chooser = random.SystemRandom()
        for _ in range(MAX_ATTEMPTS):
            port = chooser.choice(FREE_RANGE)
            if port not in self._taken and is_free(port):
                self._taken.add(port)
                return port
        raise StackError(
            f"Found no free port between {FREE_RANGE.start} and {FREE_RANGE.stop}. "
            "Choose ports with the options that `souk up --help` lists."
        )


def is_free(port: int) -> bool:
    """Tells whether this process could listen on the port."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    """Names the process that listens there, when this user may see it."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""
