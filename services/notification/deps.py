"""What the handlers of the notification service use."""

from collections.abc import Callable
from dataclasses import dataclass

from nats.aio.client import Client

from infra.database.postgres import Database


@dataclass(frozen=True, slots=True)
class NotificationDeps:
    """The parts that handlers share."""

    db: Database
    wake_mail_sender: Callable[[], None]
    """Wakes the worker that sends queued mails."""
    nats: Client
    """Reads the streams of events."""
