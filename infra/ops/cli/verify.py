"""`souk audit`: do the laws hold, over all stores, while the shop sells?"""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import typer
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from infra.database.checks import VerifyReport, Violation
from infra.ops.cli.running_stack import Running
from infra.ops.devstack import mongo
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.secret_files import OPERATOR
from infra.ops.devstack.stack_settings import STORES
from infra.ops.verify.repair import RepairAttempt, repair_violations
from infra.ops.verify.runner import UNAVAILABLE_ERRORS, Told, Verifier, VerifyTarget
from infra.ops.verify.store_readers import StoreAddresses

CLEAN, VIOLATED, UNCHECKED = 0, 1, 2
LONGEST_LIST = 50
OUT_OF_REACH: tuple[type[Exception], ...] = (StackError, *UNAVAILABLE_ERRORS)


class AuditSettings(BaseSettings):
    """Where a shop is that `souk up` does not run: as the operator of NATS and the administrator of its servers."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", env_file=".env", extra="ignore", frozen=True)

    nats_url: str = ""
    nats_password: SecretStr | None = None
    postgres_url: str = ""
    mongo_url: str = ""
    mongo_user: str = mongo.CART
    mongo_password: SecretStr | None = None


def audit(
    *,
    data: Annotated[Path | None, typer.Option(help="The data folder (SOUK_DATA; .souk).")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what has one right answer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for machines.")] = False,
    patience: Annotated[float, typer.Option(help="Seconds a thing has to stay wrong before it counts.", min=0)] = 5.0,
    most: Annotated[float, typer.Option(help="Seconds to look again at most.", min=0)] = 120.0,
) -> None:
    """Check the laws over all stores, streams and the gateway's list, while the shop sells.

    Exit code 0: they hold. 1: they do not; each violation is told. 2: they could not be checked.
    """
    console = Console(highlight=False)
    try:
        report, done = asyncio.run(_audit(place_of(data), patience, most, repair=repair, quiet=as_json))
    except OUT_OF_REACH as error:
        reason = error.message if isinstance(error, StackError) else str(error) or type(error).__name__
        typer.echo(f"The laws could not be checked: {reason}", err=True)
        raise typer.Exit(UNCHECKED) from None
    if as_json:
        typer.echo(json.dumps(told(report, done), indent=2))
    else:
        _show(report, done, console)
    raise typer.Exit(VIOLATED if report.violations else UNCHECKED if report.unconfirmed else CLEAN)


async def _audit(
    place: VerifyTarget, patience: float, most: float, *, repair: bool, quiet: bool
) -> tuple[VerifyReport, list[RepairAttempt]]:
    """With `repair` what is left afterwards, and what was done."""
    columns = (SpinnerColumn(), TextColumn("{task.description:>14} {task.completed:>12,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        report = await Verifier(place, patience, most, _showing(progress)).run()
        done: list[RepairAttempt] = []
        if repair and any(one.repair for one in report.violations):
            done = await repair_violations(place, report.violations)
            report = await Verifier(place, patience, most, _showing(progress)).run()
        return report, done


def place_of(data: Path | None) -> VerifyTarget:
    """What the environment names, or else the shop that runs on the data folder."""
    settings = AuditSettings(_secrets_dir=os.environ.get("SOUK_SECRETS_DIR"))
    services = [name for name, store in STORES.items() if store == "postgres"]
    if settings.nats_url and settings.nats_password and settings.postgres_url and settings.mongo_url:
        if settings.mongo_password is None:
            raise StackError("SOUK_MONGO_PASSWORD is missing: the password of the cart's user.")
        parts = urlsplit(settings.postgres_url)
        databases = {name: urlunsplit(parts._replace(path=f"/souk_{name}")) for name in services}
        carts = StoreAddresses(
            databases, settings.mongo_url, settings.mongo_user, settings.mongo_password.get_secret_value()
        )
        return VerifyTarget(settings.nats_url, settings.nats_password.get_secret_value(), carts)
    running = Running(data)
    return VerifyTarget(running.nats_url, running.password(OPERATOR), stores_of(running))


def stores_of(where: Any) -> StoreAddresses:
    """Of a local stack, each as its own service sees it. Any: a stack, or one that another process runs."""
    services = [name for name, store in STORES.items() if store == "postgres"]
    databases = {name: where.dsn(name) for name in services}
    return StoreAddresses(databases, where.cart_url(), mongo.CART, where.mongo_password())


def told(report: VerifyReport, done: list[RepairAttempt]) -> dict[str, Any]:
    """For machines. Any: JSON."""
    return {
        "clean": not report.violations,
        "violations": [_told(one) for one in report.violations],
        "moving": [_told(one) for one in report.unconfirmed],
        "more_of": sorted(report.truncated_checks),
        "mended": [{"check": one.check, "id": one.id, "did": one.result} for one in done],
        "checks": report.check_count,
        "facts": report.fact_count,
        "looks": report.passes,
        "seconds": round(report.seconds, 3),
    }


def _told(one: Violation) -> dict[str, Any]:
    return {
        "law": one.invariant,
        "check": one.check,
        "says": one.title,
        "ids": dict(one.ids),
        "detail": one.detail,
        "mends": one.repair.by if one.repair else None,
    }


def _show(report: VerifyReport, done: list[RepairAttempt], console: Console) -> None:
    for act in done:
        console.print(f"{act.check}  {act.id}  {act.result}", markup=False, soft_wrap=True)
    if report.violations:
        console.print(_table(report.violations))
        if len(report.violations) > LONGEST_LIST or report.truncated_checks:
            console.print(
                f"{len(report.violations)} in all{' or more' * bool(report.truncated_checks)}; --json tells them."
            )
    for one in report.unconfirmed[:LONGEST_LIST]:
        console.print(
            f"not sure, it still changes: {one.check} {_ids(one)}: {one.detail}", style="yellow", markup=False
        )
    if not report.violations:
        console.print("The laws hold.", style="green")
    console.print(
        f"{report.check_count} checks over {report.fact_count:,} facts, {report.passes} looks, {report.seconds:.1f} s",
        style="dim",
    )
    if any(one.repair for one in report.violations) and not done:
        console.print("`souk audit --repair` mends those marked with *.", style="dim")


def _table(violations: tuple[Violation, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Law", "What", "Which", "How"):
        table.add_column(title, overflow="fold")
    for one in violations[:LONGEST_LIST]:
        mark = "*" if one.repair else ""
        table.add_row(f"{one.invariant}{mark}", Text(one.title), Text(_ids(one)), Text(one.detail))
    return table


def _ids(one: Violation) -> str:
    return "\n".join(f"{name} {value}" for name, value in one.ids.items() if value)


def _showing(progress: Progress) -> Told:
    tasks: dict[str, TaskID] = {}

    def step(what: str, more: int) -> None:
        if what not in tasks:
            tasks[what] = progress.add_task(what, total=None)
        progress.update(tasks[what], advance=more)

    return step
