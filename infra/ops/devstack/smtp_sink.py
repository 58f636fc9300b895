"""An SMTP server for the local stack: it stores the newest mails as `.eml` files and forwards none.

python -m infra.ops.devstack.smtp_sink PORT FOLDER [HOST]

It listens on loopback by default. In a container with a closed network, HOST may be 0.0.0.0.
"""

import asyncio
import os
import signal
import sys
from collections import deque
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.private_files import PRIVATE_UMASK

MAX_KEPT_MAILS = 1000
MAX_MAIL_BYTES = 10 * 1024 * 1024


class MailStore:
    """Stores mails under ascending numbers and deletes the oldest beyond `max_kept`."""

    def __init__(self, folder: Path, max_kept: int = MAX_KEPT_MAILS) -> None:
        self._folder = folder
        self._max_kept = max_kept
        self._numbers = deque(sorted(int(path.stem) for path in folder.glob("*.eml") if path.stem.isdecimal()))

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Stores a mail that aiosmtpd has received."""
        content = envelope.content or b""
        self.store(content if isinstance(content, bytes) else content.encode())
        return "250 Stored"

    def store(self, mail: bytes) -> Path:
        """Stores a mail and returns its file."""
        number = self._numbers[-1] + 1 if self._numbers else 1
        path = self._folder / f"{number:06}.eml"
        draft = path.with_suffix(".new")
        draft.write_bytes(mail)
        draft.rename(path)  # a reader never sees half a mail
        self._numbers.append(number)
        while len(self._numbers) > self._max_kept:
            (self._folder / f"{self._numbers.popleft():06}.eml").unlink(missing_ok=True)
        return path


async def serve(port: int, folder: Path, host: str = LOOPBACK) -> None:
    """Serves SMTP until SIGTERM or SIGINT."""
    store, loop, stopped = MailStore(folder), asyncio.get_running_loop(), asyncio.Event()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, stopped.set)

    def session() -> SMTP:
        return SMTP(store, data_size_limit=MAX_MAIL_BYTES, hostname="souk.localhost", enable_SMTPUTF8=True, loop=loop)

    server = await loop.create_server(session, host, port)
    async with server:
        await stopped.wait()


def main() -> None:
    """Reads the command line and serves."""
    os.umask(PRIVATE_UMASK)
    port, folder, *host = sys.argv[1:]
    asyncio.run(serve(int(port), Path(folder), *host))


if __name__ == "__main__":
    main()
