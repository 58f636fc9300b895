"""A rolling restart under load: with two processes of each, nobody notices."""

import asyncio
import tempfile
from pathlib import Path

from infra.ops.devstack.stack_settings import Options
from tests.chaos.rolling_restart import measure_rolling_restart
from tests.conftest import FAST_SETTINGS, FREE_PORTS
from tests.support.uninstrumented import uninstrumented_stack

SHORT = ("edge", "cart", "order")
"""The ways in which processes end: the edge, one that keeps MongoDB, one that keeps PostgreSQL and asks others."""


async def test_restarts_of_every_kind_of_process_fail_no_request() -> None:
    with tempfile.TemporaryDirectory(prefix="souk-rolling-") as name:
        folder = Path(name)
        await asyncio.to_thread(folder.chmod, 0o711)
        options = Options(
            _env_file=None,
            data=folder / "shop",
            processes_of=dict.fromkeys(SHORT, 2),
            edge_processes=2,
            nginx_limits=False,
            seed=False,
            process_env=FAST_SETTINGS,
            **FREE_PORTS,
        )
        async with uninstrumented_stack(options) as stack:
            figures = await measure_rolling_restart(stack, only=SHORT)
    assert figures.meets_goals, str(figures)
    assert figures.placed > 20
