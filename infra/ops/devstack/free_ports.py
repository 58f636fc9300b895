"""Ports: each one checked before anything starts, a free one found where 0 was asked."""

import random
import socket
from collections.abc import Sequence
from contextlib import closing, suppress

import psutil

from infra.ops.devstack.errors import StackError

LOOPBACK = "127.0.0.1"
# Above the well-known ones, and below those that the kernel takes for outgoing connections at any moment.
FREE_RANGE = range(20000, 32000)
ATTEMPTS = 200


class Ports:
    """Hands out each port once."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self, port: int, what: str, how: str) -> int:
        """`port` itself, or a free one for 0; `what` needs it, and `how` another one is chosen."""
        if port == 0:
            return self._any()
        if port in self._taken:
            raise StackError(f"Port {port} was given twice: {what} needs one of its own. Choose another with {how}.")
        if not is_free(port):
            raise StackError(
                f"Port {port}, which {what} needs, is taken{_by(port)}. Stop that, or choose another with {how}."
            )
        self._taken.add(port)
        return port

    def take_from(self, first: int, count: int, what: str, how: str) -> Sequence[int]:
        return [self.take(first and first + n, what, how) for n in range(count)]

    def _any(self) -> int:
        chooser = random.SystemRandom()
        for _ in range(ATTEMPTS):
            port = chooser.choice(FREE_RANGE)
            if port not in self._taken and is_free(port):
                self._taken.add(port)
                return port
        raise StackError(f"No free port was found between {FREE_RANGE.start} and {FREE_RANGE.stop}.")


def is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _by(port: int) -> str:
    """Who listens there, as far as this user may know."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""
