"""Checks each port before anything starts, picks a free one for port 0, and holds them all for the stack's servers."""

import random
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

import psutil

from infra.ops.devstack.errors import StackError

LOOPBACK = "127.0.0.1"
FREE_RANGE = range(20000, 32000)
"""Above the well-known ports, and below those that the kernel uses for outgoing connections."""
MAX_ATTEMPTS = 200


class PortPicker:
    """Reserves each port at most once, and holds it until `close`.

    A port is held by a socket that is bound to it but does not listen: the server that it is for can still listen
    there, and another picker that looks for free ports, in this process or another one, passes it over. Without that,
    two stacks that start at the same time can pick the same port before either of them listens on it.
    """

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the ports back."""
        for holder in self._held.values():
            holder.close()
        self._held.clear()

    def reserve(self, port: int, purpose: str, option: str) -> int:
        """Returns `port`, or a free one for 0. `purpose` and `option` explain a refusal to the user."""
        if port == 0:
            return self._free_port()
        if port in self._held:
            raise StackError(f"Port {port} is used twice. Choose another port for {purpose} with {option}.")
        if not self._hold(port, share=True):
            raise StackError(
                f"Port {port} for {purpose} is in use{_holder(port)}. "
                f"Stop that process, or choose another port with {option}."
            )
        return port

    def reserve_range(self, first: int, count: int, purpose: str, option: str) -> Sequence[int]:
        """Reserves `count` ports that count up from `first`, or any free ones for 0."""
        return [self.reserve(first and first + n, purpose, option) for n in range(count)]

    def _free_port(self) -> int:
        chooser = random.SystemRandom()
        for _ in range(MAX_ATTEMPTS):
            port = chooser.choice(FREE_RANGE)
            if self._hold(port, share=False):
                return port
        raise StackError(
            f"Found no free port between {FREE_RANGE.start} and {FREE_RANGE.stop}. "
            "Choose ports with the options that `souk up --help` lists."
        )

    def _hold(self, port: int, *, share: bool) -> bool:
        """Binds a socket to the port. Returns false if a server listens there, or unless `share`, if it is held."""
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(share))
        try:
            holder.bind((LOOPBACK, port))
        except OSError:
            holder.close()
            return False
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the server may bind to it as well
        self._held[port] = holder
        return True


def _holder(port: int) -> str:
    """Names the process that listens there, when this user may see it."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""
