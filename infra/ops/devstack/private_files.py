"""Files and folders that only the user who runs the shop can read."""

import os
from contextlib import suppress
from pathlib import Path

PRIVATE_FILE_MODE = 0o600
PRIVATE_DIR_MODE = 0o700
PRIVATE_UMASK = 0o077
"""With it, child processes create only files and folders that no other user can read."""


def write_private(path: Path, text: str) -> Path:
    """Writes a file atomically: a server that reloads must not read half of it."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE), "w") as file:
        file.write(text)
    draft.replace(path)
    return path


def create_private_file(path: Path) -> Path:
    """Creates an empty file unless there is one. Closes one that an older release has left open to other users."""
    path.touch(mode=PRIVATE_FILE_MODE)
    restrict(path, PRIVATE_FILE_MODE)
    return path


def create_private_dir(path: Path) -> Path:
    """Creates a folder unless there is one. Closes one that an older release has left open to other users."""
    path.mkdir(mode=PRIVATE_DIR_MODE, exist_ok=True)
    restrict(path, PRIVATE_DIR_MODE)
    return path


def restrict(path: Path, mode: int) -> None:
    """Takes every right away that `mode` does not give."""
    with suppress(PermissionError):  # another user's, for example in a mounted volume
        if path.stat().st_mode & 0o777 & ~mode:
            path.chmod(path.stat().st_mode & mode)
