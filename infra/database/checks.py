"""What an audit is made of: facts to compare, checks to make, and what they find."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

Value = int | str | bytes | None
Row = tuple[Value, ...]


class RepairBy(StrEnum):
    """Who can put a thing right where only one answer is right."""

    SERVICE = "service"
    """Its service, asked to mend the thing with this id."""
    REPUBLISH = "say"
    """The same, which says its events again too."""
    REDELIVER = "event"
    """The service that has missed an event, handed it once more."""
    RELAY = "relay"
    """The relay of a service's outbox, woken; one that does not move loses its lock."""


@dataclass(frozen=True, slots=True)
class RepairAction:
    """How a violation is mended: by whom, and which of its ids names what is to be mended."""

    by: RepairBy
    service: str = ""
    id_column: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A query that finds nothing while a law holds. Each column is an id, save `detail`, which says what is wrong.

    An id is bytes, shown as the UUID that they are, or a text. `lasts` is how
    many times the patience it has to be like that: what a service does in its own time has more of it.
    """

    invariant: int
    name: str
    title: str
    sql: str
    repair: RepairAction | None = None
    confirm_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class FactTable:
    """Rows of a store that are compared with others: a table, its columns, and the query that fills them in order.

    UUIDs are told as their bytes (`uuid_send`). `keys` are the columns, or lists of them, that rows are found by.
    """

    name: str
    columns: tuple[str, ...]
    sql: str = ""
    indexes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """A law that does not hold, and of what."""

    invariant: int
    check: str
    title: str
    ids: Mapping[str, str]
    detail: str
    repair: RepairAction | None = None
    confirm_factor: float = 1.0

    @property
    def key(self) -> tuple[str, ...]:
        """The same for the same thing found twice, unless it has changed meanwhile."""
        return (self.check, *self.ids.values(), self.detail)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What came of an audit. `checks` were made, over so many `facts`; `moving` things changed at every look."""

    violations: tuple[Violation, ...]
    unconfirmed: tuple[Violation, ...]
    check_count: int
    fact_count: int
    passes: int
    seconds: float
    truncated_checks: frozenset[str] = frozenset()
    """Checks that found more than is told."""


def placeholders(columns: Iterable[str]) -> str:
    return ", ".join("?" for _ in columns)
