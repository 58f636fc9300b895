"""The attributes of spans about NATS messages, by OpenTelemetry's conventions for messaging."""

from typing import Literal

from infra.foundation.trace import Attributes


def messaging_attributes(operation: Literal["send", "process"], destination: str) -> Attributes:
    """Returns the attributes of a span that sends or processes a message.

    `destination` is a subject, or the pattern of subjects that name an aggregate.
    """
    return {
        "messaging.system": "nats",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": destination,
    }
