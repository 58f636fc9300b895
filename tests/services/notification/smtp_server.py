"""A real SMTP server whose replies a test can choose."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session


class MailServer:
    """Collects accepted mails. It gives the replies in `rcpt_replies` and `data_replies` first, then accepts all."""

    def __init__(self, *, supports_unicode: bool = True) -> None:
        self.supports_unicode = supports_unicode
        self.port = 0
        self.connections = 0
        self.mails: list[EmailMessage] = []
        self.raw_mails: list[bytes] = []
        """The bytes of each mail, as they arrived."""
        self.recipients: list[list[str]] = []
        """The recipients of each mail, as the client named them to the server."""
        self.rcpt_replies: list[str] = []
        self.data_replies: list[str] = []
        self.may_reply = asyncio.Event()
        self.may_reply.set()
        self.data_received = asyncio.Event()
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
        """Starts, on the same port as before if it ran before."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._session, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stops and drops all connections."""
        self.may_reply.set()
        if self._server:
            self._server.close()
        self.drop_connections()

    def drop_connections(self) -> None:
        """Closes all connections without a goodbye."""
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

        return Connection(self, hostname="mail.example", enable_SMTPUTF8=self.supports_unicode, loop=loop)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.rcpt_replies:
            return self.rcpt_replies.pop(0).format(address=address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        self.data_received.set()
        await self.may_reply.wait()
        if self.data_replies:
            return self.data_replies.pop(0)
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.raw_mails.append(envelope.content)
        self.recipients.append(envelope.rcpt_tos)
        return "250 OK"
