"""What a run has shown, as tables: for the eye, and as Markdown for the documentation."""

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
    for law, what in result.violations[:60]:
        console.print(f"[bold red]Law {law}[/bold red] {what}", markup=True, soft_wrap=True)
    for what in result.not_shown:
        console.print("[bold red]Not shown:[/bold red]", what, soft_wrap=True)
    console.print(
        "[bold green]No violation.[/bold green]" if result.is_clean else "[bold red]It did not hold.[/bold red]"
    )


def to_markdown(result: RunResult) -> str:
    parts = []
    for title, head, rows in tables(result):
        lines = [f"### {title}", "", _line(head), _line(["---"] * len(head)), *map(_line, rows), ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def tables(result: RunResult) -> list[tuple[str, Sequence[str], Rows]]:
    wanted = result.options
    shape = f"{wanted.nats_nodes} NATS node{'s' if wanted.nats_nodes > 1 else ''}"
    return [
        (f"Seed {wanted.seed}, {shape}", ("What", "Figure"), _figures(result)),
        (
            "Faults and laws",
            ("Fault", "Times", "Recovery, median s", "worst s", *map(str, INVARIANTS)),
            _faults(result),
        ),
        ("Acknowledged writes", ("Kind", "Acknowledged", "Checked"), _writes(result)),
        ("Requests", ("Kind", "Outcomes"), _requests(result)),
    ]


def _figures(outcome: RunResult) -> Rows:
    load, processes = outcome.load, outcome.shape.processes
    several = ", ".join(f"{len(names)} {service}" for service, names in processes.items() if len(names) > 1)
    slow = sorted(load.error_seconds)[int(len(load.error_seconds) * 0.99)] if load.error_seconds else 0.0
    return [
        ("machine", f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.machine()}"),
        ("Python", platform.python_version()),
        ("processes", f"one of each, but {several}"),
        ("whole run", f"{outcome.seconds:.0f} s, of which {load.seconds:.0f} s under load"),
        ("checkouts offered", f"{load.checkouts_offered} ({load.checkouts_offered / load.seconds:.1f}/s)"),
        ("placed", f"{len(load.answered_checkouts)} ({len(load.answered_checkouts) / load.seconds:.1f}/s)"),
        ("refused as out of stock", str(load.out_of_stock)),
        ("served", f"{load.served_share:.0%} of those offered"),
        ("answers of 5xx, 99 % within", f"{slow:.2f} s"),
        ("answers of 500", str(load.internal_errors)),
        ("crash points died at", f"{len(outcome.triggered_failpoints)} of {len(outcome.shape.failpoints)}"),
        ("settled after", f"{outcome.quiescence.seconds:.0f} s"),
        *((f"audit {name}", str(one)) for name, one in outcome.verifications.items()),
        ("acknowledged writes lost", str(sum(law == 5 for law, _ in outcome.writes.violations))),
        *((what, str(count)) for what, count in outcome.writes.remarks.items()),
        *outcome.measurements.items(),
    ]


def _faults(outcome: RunResult) -> Rows:
    """The audit comes at the end: a violation is every fault's of the run."""
    broken = Counter(law for law, _ in outcome.violations)
    laws = [str(broken[law]) if broken[law] else "ok" for law in INVARIANTS]
    rows: dict[str, list[float]] = {}
    for event in outcome.injector.completed:
        family = outcome.target_group(event.fault)
        name = f"{event.fault.kind.value}: {family}" if family else event.fault.kind.value
        rows.setdefault(name, []).append(event.ended_at)
    found = []
    for name in sorted(rows):
        times = [took for ended in rows[name] if (took := outcome.load.recovery_seconds(ended)) is not None]
        mid, worst = (f"{median(times):.2f}", f"{max(times):.2f}") if times else ("-", "-")
        found.append((name, str(len(rows[name])), mid, worst, *laws))
    return found


def _writes(outcome: RunResult) -> Rows:
    acknowledged, checked = outcome.load.journal.acknowledged_counts, outcome.writes.checked
    names = {"adjustments of stock": "adjustments", "cancellations": "orders cancelled", "shipments": "orders shipped"}
    return [(kind, str(count), str(checked[names.get(kind, kind)])) for kind, count in acknowledged.items()]


def _requests(outcome: RunResult) -> Rows:
    kinds: dict[str, Counter[str]] = {}
    for (kind, result), count in outcome.load.outcomes.items():
        kinds.setdefault(kind, Counter())[result] += count
    return [(kind, ", ".join(f"{result}: {n}" for result, n in kinds[kind].most_common())) for kind in sorted(kinds)]
