"""A disk that is full: a store's folder on a small file system of its own, in a file, filled and freed at will.

It takes Linux, root and loop devices. Where one of them is missing, `why_not` says so, and `limited` is the weaker
stand-in: no file of a running process may grow any more.
"""

import asyncio
import os
import resource
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

CHUNK = 1024 * 1024
BLOCK = 4096
TOOLS = ("mkfs.ext4", "mount", "umount")


class SmallDiskUnavailable(Exception):  # noqa: N818 - tells what this machine lacks
    """A file system of its own cannot be had here."""


@dataclass(frozen=True)
class SmallDisk:
    """A mounted file system."""

    folder: Path

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self, *, spare: int = 0) -> None:
        """Takes all room that is left, but for `spare` bytes; what the store frees later is taken by a second call."""
        with suppress(OSError), self._filler.open("ab") as file:
            size = self._left - spare
            while size >= BLOCK:
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)
                    size = self._left - spare
                except OSError:
                    size //= 2

    @property
    def _left(self) -> int:
        usage = os.statvfs(self.folder)
        return usage.f_bfree * usage.f_frsize

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)


def unavailable_reason() -> str:
    """What keeps this machine from having a small disk; empty when nothing does."""
    if sys.platform != "linux":
        return "only Linux mounts a file"
    if os.geteuid() != 0:
        return "only root may mount"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} not found"
    return "" if Path("/dev/loop-control").exists() else "the kernel offers no loop devices"


@asynccontextmanager
async def small_disk(folder: Path, megabytes: int) -> AsyncIterator[SmallDisk]:
    """`folder` as a file system of its own; raises `NoDisk` where that cannot be. It is unmounted whatever happens."""
    if reason := unavailable_reason():
        raise SmallDiskUnavailable(reason)
    image = folder.with_name(f"{folder.name}.img")
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(megabytes * CHUNK)
    try:
        # No blocks kept back for root: full is full for every user.
        await _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        await _run("mount", "-o", "loop", str(image), str(folder))
        try:
            folder.chmod(0o711)
            (folder / "lost+found").rmdir()
            yield SmallDisk(folder)
        finally:
            await asyncio.shield(_run("umount", "--lazy", str(folder)))
    finally:
        image.unlink(missing_ok=True)


async def _run(*command: str) -> None:
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await child.communicate()
    if child.returncode:
        message = f"{' '.join(command)}: {output.decode(errors='replace').strip()}"
        raise SmallDiskUnavailable(message)


@contextmanager
def file_size_limit(pid: int, max_bytes: int) -> Iterator[None]:
    """No file of this process and its children may grow beyond `largest` bytes, for as long as the block lasts."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    before = {process.pid: process.rlimit(resource.RLIMIT_FSIZE) for process in family}
    for process in family:
        process.rlimit(resource.RLIMIT_FSIZE, (max_bytes, before[process.pid][1]))
    try:
        yield
    finally:
        for process in family:
            if process.is_running():
                process.rlimit(resource.RLIMIT_FSIZE, before[process.pid])
