"""What is required of each figure, scaled to the machine that measures.

Rates were set for a machine that serves 30,000 requests per second of bare aiohttp. They shrink or grow with what this
machine serves. Latencies, memory and shares are required as they are.
"""

from dataclasses import dataclass

REFERENCE_RATE = 30_000.0
"""Bare aiohttp per second on the machine for which rates are required."""
RATE = "/s"


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a figure must reach, and what is hoped for. `at_most` tells that less is better."""

    required: float
    hoped: float | None = None
    unit: str = RATE
    at_most: bool = False

    @property
    def is_rate(self) -> bool:
        return self.unit == RATE

    def format(self, value: float | None) -> str:
        """A value with the unit."""
        if value is None:
            return ""
        digits = 0 if value >= 100 else 1 if self.unit else 2
        return f"{value:,.{digits}f}{'' if self.is_rate else ' '}{self.unit}".strip()


NOT_REQUIRED = Requirement(0)
"""For a rate that is only shown."""


def of_aiohttp(required: float, hoped: float) -> Requirement:
    """Requires shares of the rate of bare aiohttp."""
    return Requirement(required * REFERENCE_RATE, hoped * REFERENCE_RATE)


def at_most(required: float, hoped: float | None = None, unit: str = "") -> Requirement:
    """Requires a figure that is not larger."""
    return Requirement(required, hoped, unit, at_most=True)


@dataclass(frozen=True, slots=True)
class Row:
    """A figure beside what is required of it on this machine."""

    name: str
    figure: float
    requirement: Requirement
    aiohttp_rate: float
    """Bare aiohttp per second in the same run."""
    errors: int = 0

    @property
    def required(self) -> float | None:
        return self._scaled(self.requirement.required)

    @property
    def hoped(self) -> float | None:
        return self._scaled(self.requirement.hoped)

    @property
    def of_aiohttp(self) -> float | None:
        """A rate as a share of bare aiohttp's."""
        return self.figure / self.aiohttp_rate if self.requirement.is_rate and self.aiohttp_rate else None

    @property
    def ratio(self) -> float | None:
        """The figure's ratio to the requirement: 1 or more means that it is reached, also where less is better."""
        if not self.required:
            return None
        if not self.requirement.at_most:
            return self.figure / self.required
        return self.required / self.figure if self.figure else 0.0

    @property
    def is_missed(self) -> bool:
        """Whether the requirement is not reached. A figure with failed requests does not reach it."""
        return self.ratio is not None and (self.ratio < 1 or self.errors > 0)

    def _scaled(self, value: float | None) -> float | None:
        if not value:
            return None
        return value * self.aiohttp_rate / REFERENCE_RATE if self.requirement.is_rate else value
