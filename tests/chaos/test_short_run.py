"""The short fault run: every process is killed once under a light load, and no acknowledged write is lost."""

from pathlib import Path

import pytest
from rich.console import Console

from tests.chaos.fault_schedule import SERVERS, FaultKind
from tests.chaos.run import RunOptions, run_faults


@pytest.mark.timeout(180)
async def test_every_process_is_killed_once_and_nothing_is_lost(data_folder: Path) -> None:
    folder = data_folder / "faults"
    folder.mkdir(mode=0o711)
    options = RunOptions(seed=1, seconds=28, repeats=1, rate=12, only=(FaultKind.KILL,), pay_deadline_seconds=6)
    result = await run_faults(options, folder / "shop", Console(quiet=True))
    killed = {event.fault.target for event in result.injector.completed}
    assert killed == {*result.shape.processes, *SERVERS, "nats"}
    assert not result.violations
    assert not result.not_shown
    assert result.writes.checked["orders"] > 20
