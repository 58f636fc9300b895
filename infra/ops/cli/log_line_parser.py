"""Parses the log lines of Souk's processes, NATS, PostgreSQL and MongoDB into one form for filters and output."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import orjson

LEVELS: Mapping[str, int] = MappingProxyType({"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50})
LEVEL_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **{name: name for name in LEVELS},
        "TRC": "DEBUG",
        "DBG": "DEBUG",
        "INF": "INFO",
        "WRN": "WARNING",
        "ERR": "ERROR",
        "FTL": "CRITICAL",
        "D": "DEBUG",
        "I": "INFO",
        "W": "WARNING",
        "E": "ERROR",
        "F": "CRITICAL",
        "LOG": "INFO",
        "NOTICE": "INFO",
        "STATEMENT": "INFO",
        "DETAIL": "INFO",
        "HINT": "INFO",
        "FATAL": "CRITICAL",
        "PANIC": "CRITICAL",
    }
)
"""The level names of every server, mapped to Python's."""

NATS_LINE = re.compile(r"\[\d+\] (?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d+) \[(?P<level>[A-Z]{3})\] (?P<message>.*)")
POSTGRES_LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC \[\d+\] \S* ?(?P<level>[A-Z]+):\s+(?P<message>.*)"
)
SUPERVISOR_LINE = re.compile(r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) souk: (?P<message>.*)")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. `time` and `level` are unknown in a line without them, such as the second line of a traceback."""

    process: str
    message: str
    time: datetime | None = None
    level: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Returns the line as JSON in the form of Souk's own logs, with the name of the process."""
        known = {"time": self.time, "level": self.level, "process": self.process, "message": self.message}
        return orjson.dumps({**{name: value for name, value in known.items() if value}, **self.fields}, default=str)


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which lines to show. An empty filter shows all."""

    level: str = ""
    since: datetime | None = None
    request_id: str = ""

    def matches(self, line: LogLine) -> bool:
        """Tells whether a line passes. Lines without a time or level pass only a filter that does not ask for them."""
        if self.level and LEVELS.get(line.level, 0) < LEVELS[self.level]:
            return False
        if self.since and (line.time is None or line.time < self.since):
            return False
        return not self.request_id or line.fields.get("request_id") == self.request_id


def parse_lines(process: str, lines: Iterable[str]) -> Iterator[LogLine]:
    """Parses the lines of one process in order. A line without a time continues the one before it."""
    before: LogLine | None = None
    for text in lines:
        line = parse_line(process, text)
        if line.time is None and before is not None:
            request = {name: before.fields[name] for name in ("request_id",) if name in before.fields}
            line = replace(line, time=before.time, level=line.level or before.level, fields={**request, **line.fields})
        else:
            before = line
        yield line


def parse_line(process: str, text: str) -> LogLine:
    """Parses one line of any known form. An unknown form becomes a message without a time."""
    if text.startswith("{"):
        try:
            return _parse_json(process, orjson.loads(text))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return LogLine(process, text)
    if match := NATS_LINE.fullmatch(text):
        at = datetime.strptime(match["time"], "%Y/%m/%d %H:%M:%S.%f").astimezone()
        return LogLine(process, match["message"], at, LEVEL_NAMES.get(match["level"], ""))
    if match := POSTGRES_LINE.fullmatch(text):
        at = datetime.fromisoformat(match["time"]).replace(tzinfo=UTC)
        return LogLine(process, match["message"], at, LEVEL_NAMES.get(match["level"], ""))
    if match := SUPERVISOR_LINE.fullmatch(text):
        return LogLine(process, match["message"], datetime.fromisoformat(match["time"]).astimezone(), "WARNING")
    return LogLine(process, text)


def _parse_json(process: str, content: dict[str, Any]) -> LogLine:
    if "msg" in content and "t" in content:  # MongoDB
        fields = {"component": content.get("c", ""), **content.get("attr", {})}
        return LogLine(
            process, content["msg"], datetime.fromisoformat(content["t"]["$date"]), LEVEL_NAMES[content["s"]], fields
        )
    fields = {name: value for name, value in content.items() if name not in {"time", "level", "message"}}
    at = datetime.fromisoformat(content["time"])
    return LogLine(process, str(content["message"]), at, LEVEL_NAMES.get(str(content["level"]).upper(), ""), fields)
