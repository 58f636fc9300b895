"""Where the parts of the shop are that another command, in another terminal, has started."""

from pathlib import Path
from urllib.parse import urlsplit

from infra.ops.cli.up import options_of
from infra.ops.devstack.data_dir import layout_of
from infra.ops.devstack.endpoints import Whereabouts
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.port_allocation import EDGE, NATS, Addresses, named
from infra.ops.devstack.state_file import StackState, read_state


class Running(Whereabouts):
    """A stack as its state file tells of it."""

    def __init__(self, data: Path | None) -> None:
        super().__init__(options_of({"data": data} if data else {}))
        state = read_state(layout_of(self.options.data).state)
        if state is None or not state.is_running():
            raise StackError(f"Souk does not run on {self.layout.data}. Start it with `souk up`.")
        self.state = state
        self.addresses = _addresses(state)

    def pids(self, name: str) -> list[int]:
        """Of a process (`nats-2`), or of all that share the name (`nats`)."""
        return [process.pid for process in self.state.processes if process.pid and named(process.name, name)]


def _addresses(state: StackState) -> Addresses:
    ports = {process.name: urlsplit(f"//{process.address.rpartition(' ')[2]}").port or 0 for process in state.processes}
    nodes = [name for name in ports if named(name, NATS)]
    monitors = [urlsplit(url).port or 0 for url in state.urls.get("monitoring", "").split(",") if url]
    return Addresses(
        nats={name: ports[name] for name in nodes},
        nats_monitor=dict(zip(nodes, monitors, strict=False)),
        nats_routes={},
        postgres=ports.get("postgres", 0),
        mongo=ports.get("mongo", 0),
        smtp=ports.get("mail", 0),
        http=ports.get("nginx", 0),
        edges={name: port for name, port in ports.items() if named(name, EDGE)},
        ops={},
    )
