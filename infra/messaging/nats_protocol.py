"""The parts of NATS' protocol that every message passes, without nats-py's cost.

nats-py matches up to seven regular expressions a message and splits headers by their rarest forms: 5 to 9 us a message
for five headers. The forms that servers and this project send take 2 us here. Everything else (status lines, other
commands, partial messages) is left to nats-py.
"""

from collections.abc import Mapping
from typing import Any

from nats.errors import ProtocolError
from nats.protocol.parser import AWAITING_MSG_PAYLOAD, Parser

from contracts import headers as contract_headers

CRLF = b"\r\n"
HEADER_START = b"NATS/1.0\r\n"
_HEADERS_END = b"\r\n\r\n"
_MESSAGE_COMMANDS = (b"MSG ", b"HMSG ")
_MALFORMED = "nats: malformed MSG"
_ASCII_WHITESPACE = " \t\n\r\x0b\x0c"
EXPECTED_STREAM = "Nats-Expected-Stream"

KNOWN_NAMES = frozenset(
    {
        *(value for name, value in vars(contract_headers).items() if name.isupper()),
        EXPECTED_STREAM,
    }
)
"""Header names that need no check of their characters."""


def parse_headers(block: bytes) -> dict[str, str] | None:
    """Returns the headers of a message as nats-py does: a repeated name has its last value, blanks around are cut.

    The block must not start with a status line.
    """
    found: dict[str, str] = {}
    for line in block[len(HEADER_START) :].decode(errors="replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon:
            continue
        if name not in KNOWN_NAMES:
            name = name.strip(_ASCII_WHITESPACE)
            if not name.isascii() or any(character.isspace() for character in name):
                continue
        found[name] = value.strip(_ASCII_WHITESPACE)
    return found or None


def encode_headers(headers: Mapping[str, str]) -> bytes | None:
    """Returns the header block, or None if nats-py has to check or to mend a name or a value."""
    if not headers.keys() <= KNOWN_NAMES:
        return None
    # Not an f-string: nats-py's names are members of an enumeration, which it would print with the name of the class.
    lines = "\r\n".join([name + ": " + value.strip() for name, value in headers.items()])
    if lines.count("\n") != len(headers) - 1 or lines.count("\r") != len(headers) - 1:
        return None
    return HEADER_START + lines.encode() + _HEADERS_END


class WireParser(Parser):
    """Reads whole messages at once; nats-py's parser reads everything else."""

    async def parse(self, data: bytes = b"") -> None:
        """Passes every complete message of `data` to the client, and keeps the rest for the next call."""
        if self.state == AWAITING_MSG_PAYLOAD:
            missing = self.needed + len(CRLF) - len(self.buf)
            await super().parse(data[:missing])
            data = data[missing:]
        elif self.buf:  # the start of a control line
            data = bytes(self.buf) + data
            self.buf.clear()
        while data:
            end = await self._parse_messages(data)
            if end == len(data) or self.nc.is_closed or self.nc.is_reconnecting:
                return  # the rest belongs to a connection that is gone
            command_end = data.find(CRLF, end) + len(CRLF)
            if command_end < len(CRLF) or data.startswith(_MESSAGE_COMMANDS, end):  # a partial command or message
                command_end = len(data)
            await super().parse(data[end:command_end])
            data = data[command_end:]

    async def _parse_messages(self, data: bytes) -> int:
        """Passes the messages at the start of `data` to the client. Returns where the first other or partial one is."""
        position, size = 0, len(data)
        process: Any = self.nc._process_msg  # noqa: SLF001 - the client's side of this parser
        while position < size:
            has_headers = data.startswith(b"HMSG ", position)
            line_end = data.find(CRLF, position)
            if line_end < 0 or not (has_headers or data.startswith(b"MSG ", position)):
                break
            fields = data[position:line_end].split()
            start = line_end + len(CRLF)
            try:
                subscription, end = int(fields[2]), start + int(fields[-1])
                split = start + int(fields[-2]) if has_headers else start
            except (ValueError, IndexError):
                raise ProtocolError(_MALFORMED) from None
            if end + len(CRLF) > size:
                break
            reply = fields[3] if len(fields) > (5 if has_headers else 4) else b""
            position = end + len(CRLF)
            await process(subscription, fields[1], reply, data[split:end], data[start:split])
        return position
