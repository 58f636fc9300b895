"""A real SMTP server whose answers a test can choose."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session


class MailServer:
    """Keeps what it takes. `rcpt` and `data` are its next answers; when they run out it takes everything."""

    def __init__(self, *, speaks_unicode: bool = True) -> None:
        self.speaks_unicode = speaks_unicode
        self.port = 0
        self.connections = 0
        self.mails: list[EmailMessage] = []
        self.rcpt: list[str] = []
        self.data: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.reading = asyncio.Event()
        self._transports: set[asyncio.BaseTransport] = set()
        self._server: asyncio.Server | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator["MailServer"]:
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    async def start(self) -> None:
        """On the port it had before, if it had one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._session, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Ends, and cuts off whoever is connected."""
        self.open.set()
        if self._server:
            self._server.close()
        self.cut()

    def cut(self) -> None:
        for transport in self._transports:
            transport.close()
        self._transports.clear()

    def _session(self) -> SMTP:
        server, loop = self, asyncio.get_running_loop()

        class Connection(SMTP):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                server.connections += 1
                server._transports.add(transport)
                super().connection_made(transport)

        return Connection(self, hostname="mail.example", enable_SMTPUTF8=self.speaks_unicode, loop=loop)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.rcpt:
            return self.rcpt.pop(0).format(address=address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        self.reading.set()
        await self.open.wait()
        if self.data:
            return self.data.pop(0)
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"
