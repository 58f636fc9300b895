"""An event: a fact that a service states, once, in its own stream."""

from typing import Any, ClassVar
from uuid import UUID

from pydantic import ConfigDict

from contracts.model import Model


class Event(Model):
    """A fact about one aggregate. Bodies carry ids and figures, never personal data, so that a person can be forgotten.

    Each class says whose it is: `class OrderPaid(Event, service="order", name="paid", key="order_id")`.
    """

    model_config = ConfigDict(extra="ignore")  # one who hears an event may be older than the one who says it

    service: ClassVar[str]
    name: ClassVar[str]
    key: ClassVar[str]

    def __init_subclass__(cls, *, service: str, name: str, key: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.service, cls.name, cls.key = service, name, key

    @property
    def aggregate_id(self) -> UUID:
        aggregate: UUID = getattr(self, self.key)
        return aggregate

    @property
    def subject(self) -> str:
        return f"event.{self.service}.{self.aggregate_id}.{self.name}"

    @classmethod
    def subject_pattern(cls) -> str:
        """The subject of every such event, whichever aggregate it is about."""
        return f"event.{cls.service}.*.{cls.name}"

    @classmethod
    def ce_type(cls) -> str:
        """The CloudEvents `ce-type`."""
        return f"souk.{cls.service}.{cls.name}"

    @classmethod
    def ce_source(cls) -> str:
        """The CloudEvents `ce-source`."""
        return f"/souk/{cls.service}"
