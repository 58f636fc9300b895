"""`souk logs`: shows, filters and follows the logs of the local shop's processes."""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from infra.ops.cli.log_line_parser import LEVELS, LogFilter, LogLine, parse_lines
from infra.ops.cli.options import DataOption
from infra.ops.cli.running_stack import find_data_dir
from infra.ops.devstack.data_dir import DataDir
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.port_allocation import matches_name

FOLLOW_INTERVAL_SECONDS = 0.2
DEFAULT_LINES = 20
OLDEST = datetime.fromtimestamp(0, UTC)
AGE = re.compile(r"(\d+)\s*([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
COLOURS = {"DEBUG": "bright_black", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bright_red"}
HIDDEN_FIELDS = {"service", "exception"}


def logs(
    name: Annotated[str, typer.Argument(help="A process (order-2) or a service (order).", show_default="all")] = "",
    data: DataOption = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines until Ctrl-C.")] = False,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines", "-n", help="Last lines of each log (default 20; all with --since or --request-id).", min=0
        ),
    ] = None,
    level: Annotated[
        str, typer.Option(metavar="LEVEL", help="This level and above: debug, info, warning, error or critical.")
    ] = "",
    since: Annotated[
        str,
        typer.Option(metavar="TIME", help="Lines since an age (30s, 10m, 2h, 1d) or a time (2026-01-31T08:00:00Z)."),
    ] = "",
    request_id: Annotated[
        str, typer.Option(metavar="ID", help="Lines of one request: the X-Request-Id of a response.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Show the logs of servers, services and edges, merged by time.

    Example: souk logs order --level warning --since 10m
    """
    data_dir = find_data_dir(data)
    files = _find_logs(data_dir, name)
    wanted = LogFilter(_parse_level(level), parse_since(since, datetime.now(UTC)), request_id)
    default = None if since or request_id else DEFAULT_LINES
    is_single = len({process for process, _ in files}) == 1
    for line in read_logs(files, wanted, default if lines is None else lines):
        _print_line(line, as_json=as_json, is_single=is_single)
    if follow:
        try:
            for line in _follow(files, wanted):
                _print_line(line, as_json=as_json, is_single=is_single)
        except KeyboardInterrupt:
            return


def read_logs(files: Iterable[tuple[str, Path]], wanted: LogFilter, limit: int | None) -> list[LogLine]:
    """Returns the last lines of each log that pass the filter, sorted by time. Rotated parts of logs count too."""
    found: list[LogLine] = []
    for process, path in files:
        texts = [text for part in (path.with_suffix(".log.1"), path) for text in _read_lines(part)]
        matching = [line for line in parse_lines(process, texts) if wanted.matches(line)]
        found += matching if limit is None else matching[len(matching) - limit if limit < len(matching) else 0 :]
    return sorted(found, key=lambda line: line.time or OLDEST)


def follow_logs(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Yields whole lines as they are written, without end. A log that was rotated is read from its start."""
    positions = {path: path.stat().st_size for path in paths}
    while True:
        for path in paths:
            size = path.stat().st_size if path.exists() else 0
            if size < positions[path]:
                positions[path] = 0
            if size == positions[path]:
                continue
            with path.open("rb") as file:
                file.seek(positions[path])
                text = file.read(size - positions[path])
            complete = text[: text.rfind(b"\n") + 1]
            positions[path] += len(complete)
            yield from ((path, line) for line in complete.decode(errors="replace").splitlines())
        time.sleep(FOLLOW_INTERVAL_SECONDS)


def parse_since(text: str, now: datetime) -> datetime | None:
    """Parses an age such as `10m`, or a time in ISO 8601 (UTC unless it has an offset)."""
    if not text:
        return None
    if match := AGE.fullmatch(text.strip()):
        return now - timedelta(**{UNITS[match[2]]: int(match[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise StackError(f"--since {text!r} is no age (10m, 2h) and no time (2026-01-31T08:00:00Z).") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _parse_level(text: str) -> str:
    level = text.upper()
    if level and level not in LEVELS:
        raise StackError(f"--level {text!r} is unknown. Choose one of {', '.join(LEVELS).lower()}.")
    return level


def _find_logs(data_dir: DataDir, name: str) -> list[tuple[str, Path]]:
    found = [(path.stem, path) for path in sorted(data_dir.logs_dir.glob("*.log"))]
    refused = data_dir.path / "nginx" / "refused.log"
    if refused.is_file():
        found.append(("nginx", refused))
    chosen = [(process, path) for process, path in found if not name or matches_name(process, name)]
    if not found:
        raise StackError(f"There are no logs in {data_dir.logs_dir}. Start the shop with `souk up`.")
    if not chosen:
        known = ", ".join(dict.fromkeys(process for process, _ in found))
        raise StackError(f"There is no log of {name}. Choose one of {known}.")
    return chosen


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _follow(files: list[tuple[str, Path]], wanted: LogFilter) -> Iterator[LogLine]:
    processes = {path: process for process, path in files}
    for path, text in follow_logs(list(processes)):
        yield from (line for line in parse_lines(processes[path], [text]) if wanted.matches(line))


def _print_line(line: LogLine, *, as_json: bool, is_single: bool) -> None:
    typer.echo(line.to_json() if as_json else format_line(line, is_single=is_single))


def format_line(line: LogLine, *, is_single: bool) -> str:
    """Formats a line for people: local time, level, process, message, fields, and the exception on its own lines."""
    at = f"{line.time.astimezone():%H:%M:%S.%f}"[:-3] if line.time else ""
    shown = " ".join(f"{name}={value}" for name, value in line.fields.items() if name not in HIDDEN_FIELDS)
    exception = f"\n{line.fields['exception']}" if "exception" in line.fields else ""
    parts = [
        typer.style(f"{at:12}", dim=True) if at or not is_single else "",
        typer.style(f"{line.level:8}", fg=COLOURS.get(line.level)) if line.level or not is_single else "",
        "" if is_single else typer.style(f"{line.process:14}", fg="cyan"),
        line.message,
        typer.style(shown, dim=True) if shown else "",
    ]
    return " ".join(part for part in parts if part) + exception
