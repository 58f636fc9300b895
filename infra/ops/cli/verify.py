"""`souk verify`: checks the invariants over all stores while the shop serves."""

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
from infra.ops.cli.options import DataOption, JsonOption
from infra.ops.cli.running_stack import RunningStack
from infra.ops.devstack import mongo
from infra.ops.devstack.endpoints import StackEndpoints
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.secret_files import OPERATOR
from infra.ops.devstack.stack_settings import SERVICE_STORES
from infra.ops.verify.fact_db import ProgressCallback
from infra.ops.verify.repair import RepairAttempt, repair_violations
from infra.ops.verify.runner import UNAVAILABLE_ERRORS, Verifier, VerifyTarget
from infra.ops.verify.store_readers import StoreAddresses

CLEAN, VIOLATED, UNCHECKED = 0, 1, 2
MAX_VIOLATIONS_SHOWN = 50
UNREACHABLE_ERRORS: tuple[type[Exception], ...] = (StackError, *UNAVAILABLE_ERRORS)


class VerifySettings(BaseSettings):
    """How to reach a shop that `souk up` does not run: NATS as the operator, its servers as their administrator."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", env_file=".env", extra="ignore", frozen=True)

    nats_url: str = ""
    nats_password: SecretStr | None = None
    postgres_url: str = ""
    mongo_url: str = ""
    mongo_user: str = mongo.CART_USER
    mongo_password: SecretStr | None = None


def verify(
    *,
    data: DataOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair violations that have exactly one correct fix.")
    ] = False,
    as_json: JsonOption = False,
    confirm_after: Annotated[
        float, typer.Option(metavar="SECONDS", help="Report a violation only if it lasts this long.", min=0)
    ] = 5.0,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Stop confirming violations after this time.", min=0)
    ] = 120.0,
    old_confirm_after: Annotated[float | None, typer.Option("--patience", hidden=True)] = None,
    old_timeout: Annotated[float | None, typer.Option("--most", hidden=True)] = None,
) -> None:
    """Check the invariants over all stores, streams and the gateway's list while the shop serves.

    Exit code 0: all hold. 1: violations, each listed. 2: they could not be checked.

    Example: souk verify --repair
    """
    console = Console(highlight=False)
    confirm_after = confirm_after if old_confirm_after is None else old_confirm_after
    timeout = timeout if old_timeout is None else old_timeout
    try:
        report, done = asyncio.run(_verify(find_target(data), confirm_after, timeout, repair=repair, quiet=as_json))
    except UNREACHABLE_ERRORS as error:
        reason = error.message if isinstance(error, StackError) else str(error) or type(error).__name__
        typer.echo(f"The invariants could not be checked: {reason}", err=True)
        raise typer.Exit(UNCHECKED) from None
    if as_json:
        typer.echo(json.dumps(report_to_json(report, done), indent=2))
    else:
        _print_report(report, done, console)
    raise typer.Exit(VIOLATED if report.violations else UNCHECKED if report.unconfirmed else CLEAN)


async def _verify(
    target: VerifyTarget, confirm_after: float, timeout_seconds: float, *, repair: bool, quiet: bool
) -> tuple[VerifyReport, list[RepairAttempt]]:
    """Returns the report, after repairs if `repair` is set, and what was repaired."""
    columns = (SpinnerColumn(), TextColumn("{task.description:>14} {task.completed:>12,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        report = await Verifier(target, confirm_after, timeout_seconds, _progress_callback(progress)).run()
        attempts: list[RepairAttempt] = []
        if repair and any(one.repair for one in report.violations):
            attempts = await repair_violations(target, report.violations)
            report = await Verifier(target, confirm_after, timeout_seconds, _progress_callback(progress)).run()
        return report, attempts


def find_target(data: Path | None) -> VerifyTarget:
    """Returns the shop that the environment names, or else the one that runs on the data folder."""
    settings = VerifySettings(_secrets_dir=os.environ.get("SOUK_SECRETS_DIR"))
    services = [name for name, store in SERVICE_STORES.items() if store == "postgres"]
    if settings.nats_url and settings.nats_password and settings.postgres_url and settings.mongo_url:
        if settings.mongo_password is None:
            raise StackError("Set SOUK_MONGO_PASSWORD to the password of the cart's MongoDB user.")
        parts = urlsplit(settings.postgres_url)
        databases = {name: urlunsplit(parts._replace(path=f"/souk_{name}")) for name in services}
        carts = StoreAddresses(
            databases, settings.mongo_url, settings.mongo_user, settings.mongo_password.get_secret_value()
        )
        return VerifyTarget(settings.nats_url, settings.nats_password.get_secret_value(), carts)
    running = RunningStack(data)
    return VerifyTarget(running.nats_url, running.nats_password(OPERATOR), store_addresses(running))


def store_addresses(endpoints: StackEndpoints) -> StoreAddresses:
    """Returns the stores of a local stack, each under its own service's user."""
    services = [name for name, store in SERVICE_STORES.items() if store == "postgres"]
    databases = {name: endpoints.dsn(name) for name in services}
    return StoreAddresses(databases, endpoints.cart_url(), mongo.CART_USER, endpoints.cart_mongo_password())


def report_to_json(report: VerifyReport, done: list[RepairAttempt]) -> dict[str, Any]:
    """Returns the report as JSON."""
    return {
        "clean": not report.violations,
        "violations": [_violation_to_json(one) for one in report.violations],
        "moving": [_violation_to_json(one) for one in report.unconfirmed],
        "more_of": sorted(report.truncated_checks),
        "mended": [{"check": one.check, "id": one.id, "did": one.result} for one in done],
        "checks": report.check_count,
        "facts": report.fact_count,
        "looks": report.passes,
        "seconds": round(report.seconds, 3),
    }


def _violation_to_json(one: Violation) -> dict[str, Any]:
    return {
        "law": one.invariant,
        "check": one.check,
        "says": one.title,
        "ids": dict(one.ids),
        "detail": one.detail,
        "mends": one.repair.by if one.repair else None,
    }


def _print_report(report: VerifyReport, done: list[RepairAttempt], console: Console) -> None:
    for act in done:
        console.print(f"{act.check}  {act.id}  {act.result}", markup=False, soft_wrap=True)
    if report.violations:
        console.print(_violation_table(report.violations))
        if len(report.violations) > MAX_VIOLATIONS_SHOWN or report.truncated_checks:
            console.print(
                f"{len(report.violations)}{' or more' * bool(report.truncated_checks)} in all; --json lists them."
            )
    for one in report.unconfirmed[:MAX_VIOLATIONS_SHOWN]:
        console.print(
            f"unconfirmed, still changing: {one.check} {_format_ids(one)}: {one.detail}", style="yellow", markup=False
        )
    if not report.violations:
        console.print("All invariants hold.", style="green")
    console.print(
        f"{report.check_count} checks over {report.fact_count:,} facts, {report.passes} looks, {report.seconds:.1f} s",
        style="dim",
    )
    if any(one.repair for one in report.violations) and not done:
        console.print("`souk verify --repair` repairs those marked with *.", style="dim")


def _violation_table(violations: tuple[Violation, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Law", "What", "Which", "How"):
        table.add_column(title, overflow="fold")
    for one in violations[:MAX_VIOLATIONS_SHOWN]:
        mark = "*" if one.repair else ""
        table.add_row(f"{one.invariant}{mark}", Text(one.title), Text(_format_ids(one)), Text(one.detail))
    return table


def _format_ids(one: Violation) -> str:
    return "\n".join(f"{name} {value}" for name, value in one.ids.items() if value)


def _progress_callback(progress: Progress) -> ProgressCallback:
    tasks: dict[str, TaskID] = {}

    def step(what: str, more: int) -> None:
        if what not in tasks:
            tasks[what] = progress.add_task(what, total=None)
        progress.update(tasks[what], advance=more)

    return step
