"""What a shop without faults does: more customers than it can serve, and every process restarted in turn."""

from pathlib import Path

from rich.console import Console

from infra.stack.options import Options
from infra.stack.stack import Stack
from tests.conftest import FREE_PORTS
from tests.faults.overload import overload
from tests.faults.rolling import rolling
from tests.faults.run import Outcome

SETTINGS = {"SOUK_BCRYPT_COST": "4", "SOUK_LOG_LEVEL": "WARNING"}


async def figures(outcome: Outcome, data: Path, console: Console) -> None:
    """Both on one fresh shop with two processes of everything; told with the rest of the outcome."""
    options = Options(
        _env_file=None,
        data=data,
        nats_nodes=outcome.wanted.nats_nodes,
        nginx_limits=False,
        seed=False,
        processes=2,
        edge_processes=2,
        process_env=SETTINGS,
        **FREE_PORTS,
    )
    console.print("A fresh shop: rolling restarts, then three times more customers than it can serve.")
    try:
        async with Stack(options).running() as stack:
            for name, measured in (("rolling restart", await rolling(stack)), ("overload", await overload(stack))):
                outcome.figures[name] = str(measured)
                if not measured.good:
                    outcome.missed.append(f"{name}: {measured}")
    except Exception as error:  # noqa: BLE001 - what the run has shown before is told all the same
        outcome.missed.append(f"figures: {error!r}")
