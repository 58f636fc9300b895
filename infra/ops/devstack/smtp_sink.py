"""Where mails of the local stack end: an SMTP server that keeps the newest as `.eml` files and sends nothing on.

python -m infra.ops.devstack.smtp_sink PORT FOLDER [HOST]

It listens on this machine only; in a container, whose network is closed, HOST may be 0.0.0.0.
"""

import asyncio
import signal
import sys
from collections import deque
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from infra.ops.devstack.free_ports import LOOPBACK

KEPT = 1000
LARGEST = 10 * 1024 * 1024


class Keeper:
    """Numbers mails in the order they come, and forgets the oldest."""

    def __init__(self, folder: Path, kept: int = KEPT) -> None:
        self._folder = folder
        self._kept = kept
        self._numbers = deque(sorted(int(path.stem) for path in folder.glob("*.eml") if path.stem.isdecimal()))

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.content or b""
        self.keep(content if isinstance(content, bytes) else content.encode())
        return "250 kept"

    def keep(self, mail: bytes) -> Path:
        number = self._numbers[-1] + 1 if self._numbers else 1
        path = self._folder / f"{number:06}.eml"
        draft = path.with_suffix(".new")
        draft.write_bytes(mail)
        draft.rename(path)  # whoever looks sees whole mails only
        self._numbers.append(number)
        while len(self._numbers) > self._kept:
            (self._folder / f"{self._numbers.popleft():06}.eml").unlink(missing_ok=True)
        return path


async def serve(port: int, folder: Path, host: str = LOOPBACK) -> None:
    keeper, loop, over = Keeper(folder), asyncio.get_running_loop(), asyncio.Event()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, over.set)

    def session() -> SMTP:
        return SMTP(keeper, data_size_limit=LARGEST, hostname="souk.localhost", enable_SMTPUTF8=True, loop=loop)

    server = await loop.create_server(session, host, port)
    async with server:
        await over.wait()


def main() -> None:
    port, folder, *host = sys.argv[1:]
    asyncio.run(serve(int(port), Path(folder), *host))


if __name__ == "__main__":
    main()
