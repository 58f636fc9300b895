"""The settings of a local stack: from options, `SOUK_` variables and `.env`."""

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.ops.devstack.errors import StackError
from infra.ops.devstack.nginx_config import split_list
from infra.ops.devstack.server_binaries import ServerSource

StackPart = Literal["nats", "postgres", "mongo", "mail", "services", "edge", "nginx"]
SERVER_PARTS: frozenset[StackPart] = frozenset({"nats", "postgres", "mongo", "mail"})
ALL_PARTS: frozenset[StackPart] = SERVER_PARTS | {"services", "edge", "nginx"}

SERVICE_STORES: Mapping[str, Literal["postgres", "mongo"]] = MappingProxyType(
    {
        "user": "postgres",
        "catalog": "postgres",
        "cart": "mongo",
        "order": "postgres",
        "payment": "postgres",
        "notification": "postgres",
    }
)

Port = int


class StackSettings(BaseSettings):
    """Arguments come first, then `SOUK_` variables, then `.env`. Port 0 means a free port, picked at each start."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", env_file=".env", extra="ignore", frozen=True)

    data: Path = Path(".souk")
    http_port: Port = Field(default=8080, ge=0, le=65535)
    nats_port: Port = Field(default=4222, ge=0, le=65535)
    nats_monitor_port: Port = Field(default=8222, ge=0, le=65535)
    nats_route_port: Port = Field(default=6222, ge=0, le=65535, description="between the nodes of a cluster")
    postgres_port: Port = Field(default=15432, ge=0, le=65535)
    mongo_port: Port = Field(default=17017, ge=0, le=65535)
    smtp_port: Port = Field(default=10025, ge=0, le=65535)
    edge_port: Port = Field(default=8081, ge=0, le=65535, description="of the first edge; the others count upwards")
    ops_port: Port = Field(default=9101, ge=0, le=65535, description="of the first process; the others count upwards")

    servers: ServerSource = Field(
        default="wheel", description="`path` uses the servers on PATH that are new enough instead of the pinned wheels"
    )
    nats_url: str = Field(
        default="", description="a NATS of your own, used instead of starting one; commas between nodes"
    )
    postgres_url: str = Field(default="", description="a PostgreSQL superuser's URL, used instead of starting one")
    mongo_url: str = Field(default="", description="a MongoDB administrator's URL, used instead of starting one")

    nats_nodes: int = Field(default=1, ge=1, le=5, description="an odd number; each event is kept on all of them")
    processes: int = Field(default=1, ge=1, le=32, description="of each service")
    processes_of: Mapping[str, int] = Field(default_factory=dict, description="of one service, where it differs")
    edge_processes: int = Field(default=1, ge=1, le=32)
    parts: frozenset[StackPart] = ALL_PARTS
    services: tuple[str, ...] = tuple(SERVICE_STORES)
    prepare: bool = Field(default=True, description="provision NATS and migrate the databases")
    seed: bool = Field(default=True, description="load the demo catalog on the first start")
    nginx_limits: bool = Field(default=True, description="rate limits in Nginx and the edges, and of guests' orders")
    nginx_cache: bool = True
    nginx_trusted_proxies: str = Field(
        default="", description="networks of proxies in front of Nginx, whose X-Forwarded-For is trusted"
    )
    process_env: Mapping[str, str] = Field(default_factory=dict, description="for every service and edge")
    env_of: Mapping[str, Mapping[str, str]] = Field(default_factory=dict, description="for one service, or `edge`")
    crash_folder: Path | None = Field(default=None, description="where failpoints look for their instructions")
    temporary: bool = Field(default=False, description="remove the data folder when the stack ends")

    @field_validator("nats_nodes")
    @classmethod
    def _odd(cls, nodes: int) -> int:
        if nodes % 2 == 0:
            message = "an even number of nodes survives no more failures than one node less; choose 1, 3 or 5"
            raise ValueError(message)
        return nodes

    @field_validator("nginx_trusted_proxies")
    @classmethod
    def _networks(cls, text: str) -> str:
        for part in split_list(text):
            ip_network(part)
        return text

    def starts(self, part: StackPart) -> bool:
        """Tells whether this stack runs the part itself: it is asked for, and no URL names an external one."""
        external = {"nats": self.nats_url, "postgres": self.postgres_url, "mongo": self.mongo_url}
        return part in self.parts and not external.get(part)


def load_settings(overrides: Mapping[str, object] | None = None) -> StackSettings:
    """Reads the settings, with `overrides` first. Raises a `StackError` that names a variable with an invalid value."""
    try:
        return StackSettings(**(overrides or {}))  # type: ignore[arg-type]  # the model checks them
    except ValidationError as error:
        first = error.errors()[0]
        name = "SOUK_" + "_".join(map(str, first["loc"])).upper()
        raise StackError(f"{name} has an invalid value: {first['msg']}.") from None
