"""A stream that only grows: nothing can be deleted from it, and it forgets only what is the oldest of too much."""

from dataclasses import dataclass

from nats.js.api import StorageType, StreamConfig

from contracts import registry


@dataclass(frozen=True, slots=True)
class AppendOnlyStream:
    """What several write down, each under a subject of its own."""

    name: str
    subject_prefix: str
    writers: tuple[str, ...]
    description: str
    max_messages_per_writer: int
    """Messages that are kept of each writer."""

    def subject_for(self, writer: str) -> str:
        return f"{self.subject_prefix}.{writer}"

    def stream_config(self, replicas: int, duplicate_window: float) -> StreamConfig:
        return StreamConfig(
            name=self.name,
            description=self.description,
            subjects=[f"{self.subject_prefix}.*"],
            storage=StorageType.FILE,
            num_replicas=replicas,
            max_age=0,
            max_msgs_per_subject=self.max_messages_per_writer,
            duplicate_window=duplicate_window,
            deny_delete=True,
            deny_purge=True,
        )


AUDIT_ANCHOR_STREAM = AppendOnlyStream(
    "TRAIL", "trail", tuple(registry.AUDIT_LOGS), "Where each audit trail ended, and when", 1_000_000
)
