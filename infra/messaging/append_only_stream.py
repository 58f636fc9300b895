"""A stream that only grows: nothing can be deleted from it, and it forgets only what is the oldest of too much."""

from dataclasses import dataclass

from nats.js.api import StorageType, StreamConfig

from contracts import registry


@dataclass(frozen=True, slots=True)
class Ledger:
    """What several write down, each under a subject of its own."""

    name: str
    subject: str
    writers: tuple[str, ...]
    description: str
    most: int
    """Messages that are kept of each writer."""

    def subject_of(self, writer: str) -> str:
        return f"{self.subject}.{writer}"

    def config(self, replicas: int, duplicate_window: float) -> StreamConfig:
        return StreamConfig(
            name=self.name,
            description=self.description,
            subjects=[f"{self.subject}.*"],
            storage=StorageType.FILE,
            num_replicas=replicas,
            max_age=0,
            max_msgs_per_subject=self.most,
            duplicate_window=duplicate_window,
            deny_delete=True,
            deny_purge=True,
        )


TRAIL = Ledger("TRAIL", "trail", tuple(registry.TRAIL), "Where each audit trail ended, and when", 1_000_000)
