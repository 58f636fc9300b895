"""A disk that can be filled: a store's folder on a small file system of its own, backed by a file.

It needs Linux, root and loop devices. Without them `unavailable_reason` says what is missing, and `file_size_limit` is
the weaker stand-in: files of a running process can no longer grow.
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
    """This machine cannot mount a small disk."""


@dataclass(frozen=True)
class SmallDisk:
    """A mounted file system."""

    folder: Path

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self, *, reserve_bytes: int = 0) -> None:
        """Takes all free space except `spare` bytes; a second call takes what the store has freed since."""
        with suppress(OSError), self._filler.open("ab") as file:
            size = self._left - reserve_bytes
            while size >= BLOCK:
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)
                    size = self._left - reserve_bytes
                except OSError:
                    size //= 2

    @property
    def _left(self) -> int:
        usage = os.statvfs(self.folder)
        return usage.f_bfree * usage.f_frsize

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)


def unavailable_reason() -> str:
    """Why this machine cannot mount a small disk; empty if it can."""
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
    """Mounts `folder` as a small file system and always unmounts it; raises `SmallDiskUnavailable` if it cannot."""
    if reason := unavailable_reason():
        raise SmallDiskUnavailable(reason)
    image = folder.with_name(f"{folder.name}.img")
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(megabytes * CHUNK)
    try:
        # No blocks reserved for root: the disk is full for every user.
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
    """Limits the file size of a process and its children to `max_bytes` in the block."""
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
