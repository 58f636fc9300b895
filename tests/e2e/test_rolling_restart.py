"""A rolling restart under load: with two processes of each, nobody notices."""

import asyncio
import tempfile
from pathlib import Path

from infra.ops.devstack.stack_settings import Options
from tests.chaos.rolling_restart import rolling
from tests.conftest import FREE_PORTS, QUICK
from tests.support.uninstrumented import unmeasured

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
            process_env=QUICK,
            **FREE_PORTS,
        )
        async with unmeasured(options) as stack:
            figures = await rolling(stack, only=SHORT)
    assert figures.good, str(figures)
    assert figures.placed > 20
