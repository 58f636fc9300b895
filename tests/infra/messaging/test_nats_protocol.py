"""The parser and the encoder of messages agree with nats-py's, at every edge of the format and of a read."""

import asyncio
from typing import Any

import nats.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.js.api import Header
from nats.protocol.parser import Parser

from contracts import headers
from infra.messaging.nats_client import NatsClient
from infra.messaging.nats_protocol import WireParser, encode_headers, parse_headers

LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"traceparent: 00-ab",
                b"traceparent: again",
                b"traceparent",
                b" traceparent : x ",
                b"Souk-Identity:no blank",
                b"Souk-Identity:\t tab and blanks \t ",
                b"Souk-Client: ",
                b"a:b: c",
                b"with space: x",
                b": no name",
                b"",
                "Größe: x".encode(),
                "ce-type: größe\u00a0".encode(),
                b"ce-type: \xff\xfe",
                b"X\xff: y",
            ]
        ),
        st.binary(max_size=12).filter(lambda line: b"\r\n" not in line and not line.startswith(b"\n")),
    ),
    max_size=6,
)


@given(LINES)
def test_headers_are_parsed_as_nats_py_does(lines: list[bytes]) -> None:
    block = b"NATS/1.0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    expected = Client()._parse_header_lines(block[len(b"NATS/1.0\r\n") :])
    assert parse_headers(block) == (expected or None)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"NATS/1.0 503\r\n\r\n", {"Status": "503"}),
        (b"NATS/1.0 404 No Messages\r\n\r\n", {"Status": "404", "Description": "No Messages"}),
        (
            b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 16\r\n\r\n",
            {"Status": "100", "Description": "Idle Heartbeat", "Nats-Last-Consumer": "16"},
        ),
        (b"NATS/1.0\r\n\r\n", None),
        (b"NATS/1.0\r\nce-id: 1\r\nce-id: 2\r\n\r\n", {"ce-id": "2"}),
        (b"", None),
        (None, None),
    ],
)
async def test_status_lines_and_messages_without_headers(block: bytes, expected: dict[str, str] | None) -> None:
    assert await NatsClient()._process_headers(block) == expected


def test_headers_are_encoded_as_nats_py_does() -> None:
    header = {headers.EVENT_ID: " blanks around ", headers.REQUEST_ID: "", headers.EVENT_TYPE: "größe"}
    lines = [
        "NATS/1.0",
        "ce-id: blanks around",
        "Souk-Request-Id: ",
        "ce-type: größe",
        "Nats-Expected-Stream: ORDER",
        "",
        "",
    ]
    assert encode_headers({**header, Header.EXPECTED_STREAM: "ORDER"}) == "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    "header",
    [
        {headers.CLIENT_IP: "1\r\nSouk-Identity: {}"},
        {headers.CLIENT_IP: "1\nSouk-Identity: {}"},
        {headers.CLIENT_IP: "1\rx"},
        {"Unknown": "x"},
        {"bad name": "x"},
    ],
)
def test_what_could_forge_a_header_is_left_to_nats_py(header: dict[str, str]) -> None:
    assert encode_headers(header) is None


class Recorder:
    """Stands in for the client behind a parser: records what the parser passes on."""

    is_closed = is_reconnecting = False

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    async def _process_msg(self, *message: Any) -> None:
        sid, subject, reply, data, header = message
        self.seen.append((sid, bytes(subject), bytes(reply), bytes(data), bytes(header or b"")))

    async def _process_ping(self) -> None:
        self.seen.append(("PING",))

    async def _process_pong(self) -> None:
        self.seen.append(("PONG",))

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.seen.append(("INFO", info))

    async def _process_err(self, error: str) -> None:
        self.seen.append(("ERR", error))


def message(subject: bytes, data: bytes, reply: bytes = b"", header: bytes = b"") -> bytes:
    reply = b" " + reply if reply else b""
    if header:
        return b"HMSG %b 7%b %d %d\r\n%b%b\r\n" % (subject, reply, len(header), len(header) + len(data), header, data)
    return b"MSG %b 7%b %d\r\n%b\r\n" % (subject, reply, len(data), data)


STREAM = st.lists(
    st.one_of(
        st.builds(
            message,
            st.sampled_from([b"rpc.order.place", b"a"]),
            st.sampled_from([b"", b"{}", b"PING\r\n", b"\r\n", b"MSG a 1 1\r\nx\r\n", b"x" * 300]),
            st.sampled_from([b"", b"_INBOX.1.2"]),
            st.sampled_from([b"", b"NATS/1.0\r\nce-id: 1\r\n\r\n", b"NATS/1.0 503\r\n\r\n"]),
        ),
        st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b'INFO {"max_payload": 5}\r\n', b"-ERR 'stale'\r\n"]),
    ),
    max_size=8,
)


@given(STREAM, st.lists(st.integers(1, 60), max_size=30))
def test_messages_are_read_as_nats_py_does(parts: list[bytes], cuts: list[int]) -> None:
    """However the network cuts the bytes into reads."""
    data = b"".join(parts)

    async def read(parser_class: type[Parser], pieces: list[bytes]) -> list[tuple[Any, ...]]:
        recorder = Recorder()
        parser = parser_class(recorder)
        for piece in pieces:
            await parser.parse(piece)
        return recorder.seen

    pieces, rest = [], data
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces = [piece for piece in (*pieces, rest) if piece]
    assert asyncio.run(read(WireParser, pieces)) == asyncio.run(read(Parser, [data]))


@pytest.mark.parametrize("line", [b"MSG a b c\r\n", b"HMSG a 1 x 5\r\n12345\r\n", b"NONSENSE\r\n"])
async def test_a_malformed_line_is_a_protocol_error(line: bytes) -> None:
    """nats-py reconnects after it; any other exception would end its read loop."""
    with pytest.raises(nats.errors.ProtocolError):
        await WireParser(Recorder()).parse(line)


async def test_what_follows_the_end_of_a_connection_is_dropped() -> None:
    recorder = Recorder()
    recorder.is_reconnecting = True
    parser = WireParser(recorder)
    await parser.parse(message(b"a", b"whole") + b"MSG a 7 9\r\npart")
    assert [seen[3] for seen in recorder.seen] == [b"whole"]
    assert not parser.buf
