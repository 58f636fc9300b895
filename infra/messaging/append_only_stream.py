"""Append-only streams: no message can be deleted, and only the oldest messages of a writer with too many expire."""

from dataclasses import dataclass

from nats.js.api import StorageType, StreamConfig

from contracts import registry


@dataclass(frozen=True, slots=True)
class AppendOnlyStream:
    """A stream to which several writers append, each under its own subject."""

    name: str
    subject_prefix: str
    writers: tuple[str, ...]
    description: str
    max_messages_per_writer: int
    """Messages that the stream keeps for each writer."""

    def subject_for(self, writer: str) -> str:
        """Returns the subject a writer publishes to."""
        return f"{self.subject_prefix}.{writer}"

    def stream_config(self, replicas: int, duplicate_window_seconds: float) -> StreamConfig:
        """Returns the JetStream configuration, which refuses deletes and purges."""
        return StreamConfig(
            name=self.name,
            description=self.description,
            subjects=[f"{self.subject_prefix}.*"],
            storage=StorageType.FILE,
            num_replicas=replicas,
            max_age=0,
            max_msgs_per_subject=self.max_messages_per_writer,
            duplicate_window=duplicate_window_seconds,
            deny_delete=True,
            deny_purge=True,
        )


AUDIT_ANCHOR_STREAM = AppendOnlyStream(
    "TRAIL", "trail", tuple(registry.AUDIT_LOGS), "The last entry of each audit log over time", 1_000_000
)
