"""The fault run in short: every process is killed once under a light load, and everything that was said is so."""

from pathlib import Path

import pytest
from rich.console import Console

from tests.chaos.fault_schedule import SERVERS, FaultKind
from tests.chaos.run import RunOptions, run_faults


@pytest.mark.timeout(180)
async def test_every_process_is_killed_once_and_nothing_is_lost(data_folder: Path) -> None:
    folder = data_folder / "faults"
    folder.mkdir(mode=0o711)
    wanted = RunOptions(seed=1, seconds=28, repeats=1, rate=12, only=(FaultKind.KILL,), pay_deadline_seconds=6)
    outcome = await run_faults(wanted, folder / "shop", Console(quiet=True))
    killed = {event.fault.target for event in outcome.injector.completed}
    assert killed == {*outcome.shape.processes, *SERVERS, "nats"}
    assert not outcome.violations
    assert not outcome.not_shown
    assert outcome.writes.checked["orders"] > 20
