"""The clock of each service under test, and the environment that makes its processes read it."""

from collections.abc import Mapping
from pathlib import Path

from tests.chaos.process_clock import ProcessClock

CLOCK_CACHE_SETTINGS = {"FAKETIME_NO_CACHE": "0", "FAKETIME_CACHE_DURATION": "1"}
"""A process reads its clock offset once a second, because reading it every time would slow the load."""


def create_clocks(folder: Path, services: tuple[str, ...]) -> dict[str, ProcessClock]:
    """A clock for each service; its processes share it."""
    return {service: ProcessClock(folder / f"{service}-clock") for service in services}


def clock_environments(made: Mapping[str, ProcessClock]) -> dict[str, Mapping[str, str]]:
    return {service: {**clock.environment(), **CLOCK_CACHE_SETTINGS} for service, clock in made.items()}
