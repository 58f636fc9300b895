"""Dead letters: events that could not be handled, kept with the reason, the service and the trace."""

from nats.aio.msg import Msg
from nats.js import JetStreamContext

from infra import headers
from infra.crash import crash_point
from infra.streams import DEAD

REASON_LENGTH = 500


async def bury(js: JetStreamContext, service: str, message: Msg, reason: str) -> None:
    """Keeps the event in the dead-letter stream; returns once JetStream has acknowledged it."""
    deliveries = message.metadata.num_delivered
    header = {
        **(message.header or {}),
        headers.MESSAGE_ID: f"dead-{service}-{(message.header or {}).get(headers.EVENT_ID, message.reply)}",
        headers.DEAD_REASON: " ".join(reason.split())[:REASON_LENGTH],
        headers.DEAD_SERVICE: service,
        headers.DEAD_SUBJECT: message.subject,
        headers.DEAD_DELIVERIES: str(deliveries),
    }
    header.pop("Nats-Expected-Stream", None)
    stream = message.metadata.stream
    await js.publish(f"dead.{service}.{stream}", message.data, stream=DEAD, headers=header)
    crash_point("deadletter.kept")
