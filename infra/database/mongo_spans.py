"""Spans for the commands that a service sends to MongoDB, by OpenTelemetry's conventions for databases.

They hold the names of a command and its collection, never its values.
"""

from typing import Any

from opentelemetry.trace import SpanKind
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from infra.foundation import trace


class MongoCommandSpans(CommandListener):
    """Records the commands sent to MongoDB; pymongo calls it in the context of the command's caller."""

    def __init__(self) -> None:
        self._collections: dict[int, str] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """Keeps the collection's name, which the events that end a command lack; some commands concern none."""
        if trace.is_recorded():
            target = event.command.get(event.command_name)
            self._collections[event.request_id] = target if isinstance(target, str) else ""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Records the command."""
        self._record(event, None)

    def failed(self, event: CommandFailedEvent) -> None:
        """Records the command as failed."""
        self._record(event, "CommandFailed")

    def _record(self, event: CommandSucceededEvent | CommandFailedEvent, error: str | None) -> None:
        collection = self._collections.pop(event.request_id, None)
        if collection is None:
            return
        attributes: dict[str, Any] = {
            "db.system.name": "mongodb",
            "db.namespace": event.database_name,
            "db.operation.name": event.command_name,
        }
        if collection:
            attributes["db.collection.name"] = collection
        name, seconds = f"{event.command_name} {collection}".rstrip(), event.duration_micros / 1e6
        trace.record_span(name, SpanKind.CLIENT, attributes, seconds=seconds, error=error)
