"""The tables of a run, on the terminal and as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.table import Table

from tests.bench.load_generator import BenchResult
from tests.bench.process_usage import NOT_OF_THE_SHOP, of_souk, of_the_shop
from tests.bench.requirements import Row


@dataclass
class TableData:
    """A table as rows of text. All columns but the first are figures."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def to_rich(self) -> Table:
        """The table for the terminal."""
        table = Table(title=self.title, title_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def to_markdown(self) -> str:
        """The table for a document."""
        separators = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = [f"| {' | '.join(cells)} |" for cells in (self.columns, separators, *self.rows)]
        return "\n".join([f"**{self.title}**", "", *lines, ""])


def requirement_table(rows: Iterable[Row]) -> TableData:
    """Each figure beside the limit of the machine and what is required of it."""
    columns = ("", "Measured", "Of aiohttp", "Required", "Hoped for", "Of required", "")
    table = TableData("Requirements (of required: 1.00 or more is reached)", columns)
    for row in rows:
        table.rows.append(
            (
                row.name,
                row.requirement.format(row.figure),
                _share(row.of_aiohttp),
                row.requirement.format(row.required),
                row.requirement.format(row.hoped),
                _share(row.ratio),
                _remark(row),
            )
        )
    return table


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"


def _remark(row: Row) -> str:
    verdict = "" if row.ratio is None else "missed" if row.is_missed else "reached"
    return ", ".join(part for part in (verdict, f"{row.errors} errors" if row.errors else "") if part)


def figure_table(results: Iterable[BenchResult]) -> TableData:
    """Rates, latencies and errors of all runs, and how many cores the busiest processes used."""
    table = TableData("Figures", ("", "Rate/s", "p50 ms", "p99 ms", "Errors"))
    for result in results:
        table.rows.append(
            (
                result.name,
                f"{result.rate:,.0f}",
                f"{result.percentile(0.5) * 1000:.1f}",
                f"{result.percentile(0.99) * 1000:.1f}",
                str(result.errors),
            )
        )
    return table


def cpu_table(results: Sequence[BenchResult]) -> TableData:
    """CPU of one operation by process; the load generator and the mail server stand apart from the sum."""
    names = dict.fromkeys(name for result in results for name in result.cpu_seconds)
    own = [name for name in names if name not in NOT_OF_THE_SHOP]
    others = [name for name in NOT_OF_THE_SHOP if name in names]
    table = TableData("CPU microseconds an operation", ("", *own, "sum", *others))
    for result in results:
        used = result.cpu_microseconds()
        cells = [used.get(name, 0.0) for name in own]
        table.rows.append((result.name, *map(_microseconds, [*cells, sum(cells), *(used[name] for name in others)])))
    return table


def _microseconds(used: float) -> str:
    return f"{used:,.0f}" if used >= 1 else ""


def pss_table(pss: Mapping[str, float]) -> TableData:
    """Memory after load by process, and of Souk's own processes and all of the shop's together."""
    sums = (sum(of_souk(pss).values()), sum(of_the_shop(pss).values()))
    table = TableData("PSS after load, MiB", (*pss, "services and edge", "with all servers"))
    table.rows.append([f"{size:.0f}" for size in (*pss.values(), *sums)])
    return table
