"""The NATS client of every process: it measures each message, and one message never ends the connection for good.

NATS counts the headers of a message too and closes the connection, with everything on it, when a message is larger than
`max_payload`. nats-py measures the body alone. All publishers pass `publish`: requests, replies, events,
acknowledgements, key-value buckets and the object store.
"""

from collections.abc import Mapping

import nats.errors
from nats.aio.client import Client

from infra.foundation.telemetry import get_logger

HEADER_FRAME_BYTES = len(b"NATS/1.0\r\n\r\n")
HEADER_LINE_FRAME_BYTES = len(b": \r\n")
MAX_BYTES_PER_CHARACTER = 4

_MESSAGE_VIOLATIONS = ("maximum payload", "maximum control line", "unknown protocol operation", "parser error")
"""What NATS says, in lower case, before it closes a connection because of what one message looks like."""

log = get_logger("souk.nats")


class MessageTooLargeError(nats.errors.MaxPayloadError):
    """The message was not sent: with its headers it is larger than `max_payload`."""

    def __init__(self, subject: str, size: int, max_size: int) -> None:
        self.size = size
        self.text = f"a message of {size} bytes to {subject[:100]} exceeds max_payload, {max_size} bytes"
        super().__init__(self.text)

    def __str__(self) -> str:
        """Returns the sizes; the base class would leave them out."""
        return self.text


def message_size(payload: bytes, headers: Mapping[str, str] | None) -> int:
    """Returns the bytes of a message as NATS counts them."""
    if not headers:
        return len(payload)
    lines = sum(len(name.encode()) + len(value.encode()) + HEADER_LINE_FRAME_BYTES for name, value in headers.items())
    return len(payload) + HEADER_FRAME_BYTES + lines


class NatsClient(Client):
    """A nats-py client that refuses a message that is too large, and reconnects when NATS refuses one."""

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Publishes a message. Raises `MessageTooLargeError` if it exceeds `max_payload` with its headers."""
        upper_bound = len(payload)
        if headers:
            upper_bound += HEADER_FRAME_BYTES
            for name, value in headers.items():
                upper_bound += MAX_BYTES_PER_CHARACTER * (len(name) + len(value)) + HEADER_LINE_FRAME_BYTES
        if upper_bound > self._max_payload and (size := message_size(payload, headers)) > self._max_payload:
            raise MessageTooLargeError(subject, size, self._max_payload)
        await super().publish(subject, payload, reply, headers)

    async def _process_err(self, err_msg: str) -> None:
        """Reconnects after an error about one message; nats-py would close the connection for good."""
        if any(violation in err_msg for violation in _MESSAGE_VIOLATIONS):
            log.error("NATS refused a message: %s", err_msg)
            await self._process_op_err(nats.errors.Error(f"nats: {err_msg}"))
            return
        await super()._process_err(err_msg)
