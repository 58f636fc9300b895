"""The result of a run as tables, for the terminal and as Markdown."""

import os
import platform
from collections import Counter
from collections.abc import Sequence
from statistics import median

import psutil
from rich.console import Console
from rich.table import Table

from tests.chaos.run import RunResult

INVARIANTS = range(1, 9)
Rows = Sequence[Sequence[str]]


def print_report(result: RunResult, console: Console) -> None:
    for title, head, rows in tables(result):
        table = Table(*head, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for invariant, what in result.violations[:60]:
        console.print(f"[bold red]Invariant {invariant}[/bold red] {what}", markup=True, soft_wrap=True)
    for what in result.not_shown:
        console.print("[bold red]Not shown:[/bold red]", what, soft_wrap=True)
    console.print(
        "[bold green]No violation.[/bold green]" if result.is_clean else "[bold red]The run failed.[/bold red]"
    )


def to_markdown(result: RunResult) -> str:
    parts = []
    for title, head, rows in tables(result):
        lines = [f"### {title}", "", _connection(head), _connection(["---"] * len(head)), *map(_connection, rows), ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def _connection(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def tables(result: RunResult) -> list[tuple[str, Sequence[str], Rows]]:
    options = result.options
    shape = f"{options.nats_nodes} NATS node{'s' if options.nats_nodes > 1 else ''}"
    return [
        (f"Seed {options.seed}, {shape}", ("What", "Figure"), _figures(result)),
        (
            "Faults and invariants",
            ("Fault", "Times", "Recovery, median s", "worst s", *map(str, INVARIANTS)),
            _faults(result),
        ),
        ("Acknowledged writes", ("Kind", "Acknowledged", "Checked"), _writes(result)),
        ("Requests", ("Kind", "Outcomes"), _requests(result)),
    ]


def _figures(result: RunResult) -> Rows:
    load, processes = result.load, result.shape.processes
    several = ", ".join(f"{len(names)} {service}" for service, names in processes.items() if len(names) > 1)
    slow = sorted(load.error_seconds)[int(len(load.error_seconds) * 0.99)] if load.error_seconds else 0.0
    return [
        ("machine", f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.machine()}"),
        ("Python", platform.python_version()),
        ("processes", f"one of each, but {several}"),
        ("whole run", f"{result.seconds:.0f} s, of which {load.seconds:.0f} s under load"),
        ("checkouts offered", f"{load.checkouts_offered} ({load.checkouts_offered / load.seconds:.1f}/s)"),
        ("placed", f"{len(load.answered_checkouts)} ({len(load.answered_checkouts) / load.seconds:.1f}/s)"),
        ("refused as out of stock", str(load.out_of_stock)),
        ("served", f"{load.served_share:.0%} of those offered"),
        ("99 % of 5xx responses within", f"{slow:.2f} s"),
        ("responses of 500", str(load.internal_errors)),
        ("failpoints that crashed a process", f"{len(result.triggered_failpoints)} of {len(result.shape.failpoints)}"),
        ("quiet after", f"{result.quiescence.seconds:.0f} s"),
        *((f"verification {name}", str(one)) for name, one in result.verifications.items()),
        ("acknowledged writes lost", str(sum(invariant == 5 for invariant, _ in result.writes.violations))),
        *((what, str(count)) for what, count in result.writes.remarks.items()),
        *result.measurements.items(),
    ]


def _faults(result: RunResult) -> Rows:
    """The final verification covers the whole run, so a violation counts for every fault."""
    broken = Counter(invariant for invariant, _ in result.violations)
    invariants = [str(broken[invariant]) if broken[invariant] else "ok" for invariant in INVARIANTS]
    rows: dict[str, list[float]] = {}
    for event in result.injector.completed:
        family = result.target_group(event.fault)
        name = f"{event.fault.kind.value}: {family}" if family else event.fault.kind.value
        rows.setdefault(name, []).append(event.ended_at)
    found = []
    for name in sorted(rows):
        times = [seconds for ended in rows[name] if (seconds := result.load.recovery_seconds(ended)) is not None]
        middle, worst = (f"{median(times):.2f}", f"{max(times):.2f}") if times else ("-", "-")
        found.append((name, str(len(rows[name])), middle, worst, *invariants))
    return found


def _writes(result: RunResult) -> Rows:
    acknowledged, checked = result.load.journal.acknowledged_counts, result.writes.checked
    names = {"adjustments of stock": "adjustments", "cancellations": "orders cancelled", "shipments": "orders shipped"}
    return [(kind, str(count), str(checked[names.get(kind, kind)])) for kind, count in acknowledged.items()]


def _requests(result: RunResult) -> Rows:
    kinds: dict[str, Counter[str]] = {}
    for (kind, outcome), count in result.load.outcomes.items():
        kinds.setdefault(kind, Counter())[outcome] += count
    return [(kind, ", ".join(f"{outcome}: {n}" for outcome, n in kinds[kind].most_common())) for kind in sorted(kinds)]
