"""The shop that `souk up` runs in another terminal, as its state file describes it."""

from pathlib import Path
from urllib.parse import urlsplit

from infra.ops.devstack.data_dir import DataDir, data_dir_at
from infra.ops.devstack.endpoints import StackEndpoints
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.port_allocation import EDGE_PROCESS, NATS_PROCESS, PortAllocation, matches_name
from infra.ops.devstack.stack_settings import load_settings
from infra.ops.devstack.state_file import StackState, read_state


class RunningStack(StackEndpoints):
    """The endpoints of a running stack. Raises a `StackError` when none runs on the data folder."""

    def __init__(self, data: Path | None) -> None:
        super().__init__(load_settings({"data": data} if data else {}))
        self.state = require_state(self.data_dir)
        self.ports = _ports_in_use(self.state)

    def pids(self, name: str) -> list[int]:
        """Returns the pids of a process (`nats-2`) or of all processes of that name (`nats`)."""
        return [process.pid for process in self.state.processes if process.pid and matches_name(process.name, name)]


def find_data_dir(data: Path | None) -> DataDir:
    """Returns the data folder that an option or the environment names."""
    return data_dir_at(load_settings({"data": data} if data else {}).data)


def require_state(data_dir: DataDir) -> StackState:
    """Returns the state of the stack that runs on the data folder. Raises a `StackError` when none runs."""
    state = read_state(data_dir.state_file)
    if state is None or not state.is_running():
        raise StackError(f"Souk does not run on {data_dir.path}. Start it with `souk up`.")
    return state


def _ports_in_use(state: StackState) -> PortAllocation:
    ports = {process.name: urlsplit(f"//{process.address.rpartition(' ')[2]}").port or 0 for process in state.processes}
    nodes = [name for name in ports if matches_name(name, NATS_PROCESS)]
    monitors = [urlsplit(url).port or 0 for url in state.urls.get("monitoring", "").split(",") if url]
    return PortAllocation(
        nats={name: ports[name] for name in nodes},
        nats_monitor=dict(zip(nodes, monitors, strict=False)),
        nats_routes={},
        postgres=ports.get("postgres", 0),
        mongo=ports.get("mongo", 0),
        smtp=ports.get("mail", 0),
        http=ports.get("nginx", 0),
        edges={name: port for name, port in ports.items() if matches_name(name, EDGE_PROCESS)},
        ops={},
    )
