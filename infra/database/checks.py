"""What `souk verify` works with: facts to compare, checks to run, and the violations that the checks find."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

Value = int | str | bytes | None
Row = tuple[Value, ...]


class RepairBy(StrEnum):
    """Which process repairs a violation that has exactly one right repair."""

    SERVICE = "service"
    """The owning service repairs the item with the given id."""
    REPUBLISH = "say"
    """The owning service repairs the item and publishes its events again."""
    REDELIVER = "event"
    """The service that missed an event receives it again."""
    RELAY = "relay"
    """The outbox relay is woken; a relay that does not make progress loses its lock."""


@dataclass(frozen=True, slots=True)
class RepairAction:
    """How a violation is repaired: by which process, and which of the violation's ids names the item."""

    by: RepairBy
    service: str = ""
    id_column: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A query that returns no row while an invariant holds.

    Each column is an id, except `detail`, which says what is wrong. An id is text, or the bytes of a UUID.
    `confirm_factor` multiplies the confirmation time, for work that a service does in its own time.
    """

    invariant: int
    name: str
    title: str
    sql: str
    repair: RepairAction | None = None
    confirm_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class FactTable:
    """Rows of a store that are compared with other stores: table name, columns, and the query that reads them.

    UUIDs are read as bytes (`uuid_send`). `indexes` are the column lists that the checks look rows up by.
    """

    name: str
    columns: tuple[str, ...]
    sql: str = ""
    indexes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken invariant, with the ids of what breaks it."""

    invariant: int
    check: str
    title: str
    ids: Mapping[str, str]
    detail: str
    repair: RepairAction | None = None
    confirm_factor: float = 1.0

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for the same violation found twice, unless its detail has changed in between."""
        return (self.check, *self.ids.values(), self.detail)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of a verification."""

    violations: tuple[Violation, ...]
    unconfirmed: tuple[Violation, ...]
    """Suspected violations that changed in every pass, so that they could not be confirmed in time."""
    check_count: int
    fact_count: int
    passes: int
    seconds: float
    truncated_checks: frozenset[str] = frozenset()
    """Checks that found more violations than are reported."""


def placeholders(columns: Iterable[str]) -> str:
    """One SQL placeholder for each column."""
    return ", ".join("?" for _ in columns)
