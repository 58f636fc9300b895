"""The base class of events: facts that a service publishes in its own stream."""

from typing import Any, ClassVar
from uuid import UUID

from pydantic import ConfigDict

from contracts.model import Model


class Event(Model):
    """A fact about one aggregate.

    Bodies carry ids and numbers, never personal data, so that a person can be erased.

    Each class names its service, its past-tense name and the field with the aggregate's id:
    `class OrderPaid(Event, service="order", name="paid", key="order_id")`.
    """

    model_config = ConfigDict(extra="ignore")  # a consumer may run an older release than the publisher

    service: ClassVar[str]
    name: ClassVar[str]
    key: ClassVar[str]

    def __init_subclass__(cls, *, service: str, name: str, key: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.service, cls.name, cls.key = service, name, key

    @property
    def aggregate_id(self) -> UUID:
        """The id of the aggregate that the event is about."""
        aggregate_id: UUID = getattr(self, self.key)
        return aggregate_id

    @property
    def subject(self) -> str:
        """The subject that this event is published on."""
        return f"event.{self.service}.{self.aggregate_id}.{self.name}"

    @classmethod
    def subject_pattern(cls) -> str:
        """Returns the subject of all events of this class, with a wildcard for the aggregate."""
        return f"event.{cls.service}.*.{cls.name}"

    @classmethod
    def ce_type(cls) -> str:
        """Returns the CloudEvents `ce-type`."""
        return f"souk.{cls.service}.{cls.name}"

    @classmethod
    def ce_source(cls) -> str:
        """Returns the CloudEvents `ce-source`."""
        return f"/souk/{cls.service}"
