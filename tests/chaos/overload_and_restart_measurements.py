"""Measures a shop without faults: under overload, and during a rolling restart of every process."""

from pathlib import Path

from rich.console import Console

from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings
from tests.chaos.overload import measure_overload
from tests.chaos.rolling_restart import measure_rolling_restart
from tests.chaos.run import RunResult
from tests.conftest import FREE_PORTS

SETTINGS = {"SOUK_BCRYPT_COST": "4", "SOUK_LOG_LEVEL": "WARNING"}


async def measure_without_faults(result: RunResult, data: Path, console: Console) -> None:
    """Runs both measurements on a new stack with two processes of everything, and adds them to the result."""
    options = StackSettings(
        _env_file=None,
        data=data,
        nats_nodes=result.options.nats_nodes,
        nginx_limits=False,
        seed=False,
        processes=2,
        edge_processes=2,
        process_env=SETTINGS,
        **FREE_PORTS,
    )
    console.print("A new shop: a rolling restart, then three times more customers than it can serve.")
    try:
        async with Stack(options).running() as stack:
            for name, measured in (
                ("rolling restart", await measure_rolling_restart(stack)),
                ("overload", await measure_overload(stack)),
            ):
                result.measurements[name] = str(measured)
                if not measured.meets_goals:
                    result.missed_goals.append(f"{name}: {measured}")
    except Exception as error:  # noqa: BLE001 - the results of the run are reported in any case
        result.missed_goals.append(f"figures: {error!r}")
