"""Folders for the data of test servers, in memory if there is plenty: a commit then need not wait for a disk.

The servers sync every commit as they do on a disk, and a killed process loses nothing that the kernel has.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - each test process makes a folder of its own in it
MIN_FREE_BYTES = 12 * 1024**3
"""Twice what the servers of two test processes may store."""


@contextmanager
def server_folder() -> Iterator[Path]:
    """Creates a folder that every user may enter, since PostgreSQL runs as another user when the tests run as root."""
    in_memory = _has_plenty_of_memory()
    if in_memory:
        _remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=f"souk-{os.getpid()}-", dir=MEMORY_FOLDER if in_memory else None))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _has_plenty_of_memory() -> bool:
    return (
        os.access(MEMORY_FOLDER, os.W_OK)
        and shutil.disk_usage(MEMORY_FOLDER).free >= MIN_FREE_BYTES
        and psutil.virtual_memory().available >= MIN_FREE_BYTES
    )


def _remove_leftovers() -> None:
    """Removes the folders of test processes that were killed, which would fill the memory."""
    for folder in MEMORY_FOLDER.glob("souk-*"):
        owner = re.match(r"souk-(\d+)-", folder.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            shutil.rmtree(folder, ignore_errors=True)
