"""With two processes of each service, a rolling restart under load fails no request."""

from infra.ops.devstack.stack_settings import StackSettings
from tests.chaos.rolling_restart import measure_rolling_restart, read_warnings
from tests.conftest import FAST_SETTINGS, FREE_PORTS
from tests.support.server_folders import server_folder
from tests.support.without_coverage import uninstrumented_stack

RESTARTED = ("edge", "cart", "order")
"""One of each kind: the edge, a service on MongoDB, and a service on PostgreSQL that calls others."""


async def test_a_rolling_restart_fails_no_request() -> None:
    with server_folder() as folder:
        settings = StackSettings(
            _env_file=None,
            data=folder / "shop",
            processes_of=dict.fromkeys(RESTARTED, 2),
            edge_processes=2,
            nginx_limits=False,
            seed=False,
            process_env=FAST_SETTINGS,
            **FREE_PORTS,
        )
        async with uninstrumented_stack(settings) as stack:
            result = await measure_rolling_restart(stack, only=RESTARTED)
            assert result.meets_goals, f"{result}\n{read_warnings(stack)}"
            assert result.placed > 20
