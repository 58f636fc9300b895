"""The data folder: what lies where, and that it is Souk's and not somebody's home."""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from infra.ops.devstack.errors import StackError

MARKER = "souk-data.txt"
MARKER_TEXT = (
    "Everything in this folder belongs to the Souk that `souk up` runs; `souk down --purge` removes the folder.\n"
)
SPACE_NEEDED = 400 * 1024 * 1024


@dataclass(frozen=True)
class Layout:
    data: Path

    @property
    def secrets(self) -> Path:
        return self.data / "secrets"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def run(self) -> Path:
        return self.data / "run"

    @property
    def mail(self) -> Path:
        return self.data / "mail"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def state(self) -> Path:
        return self.run / "state.json"

    @property
    def postgres(self) -> Path:
        """A folder, or a link to where PostgreSQL's own user can reach it."""
        return self.data / "postgres"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def is_ours(self) -> bool:
        return (self.data / MARKER).is_file()


def layout_of(data: Path) -> Layout:
    return Layout(data.expanduser().absolute())


def open_data_folder(data: Path, *, space_needed: int = SPACE_NEEDED) -> Layout:
    """Makes the folder, or refuses it: not ours, not writable, no space."""
    layout = layout_of(data)
    try:
        _claim(layout)
        for folder in (layout.secrets, layout.logs, layout.run, layout.mail):
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise unusable(layout.data, error) from None
    if shutil.disk_usage(layout.data).free < space_needed:
        raise _full(layout.data)
    return layout


def _claim(layout: Layout) -> None:
    if layout.data.is_dir() and not layout.is_ours() and any(layout.data.iterdir()):
        raise StackError(
            f"{layout.data} holds files that are not Souk's. Choose an empty or a new folder with --data (SOUK_DATA)."
        )
    # Root's PostgreSQL runs as another user, who must be able to walk through to its own folder; nothing else opens.
    layout.data.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    (layout.data / MARKER).write_text(MARKER_TEXT)
    (layout.data / ".gitignore").write_text("*\n")


def unusable(folder: Path, error: OSError) -> StackError:
    """The plain words for an error of the file system."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _full(folder)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StackError(
            f"Souk may not write to {error.filename or folder}. Make it yours, or choose another folder with --data."
        )
    if error.errno in {errno.ENOTDIR, errno.EEXIST}:
        return StackError(f"{folder} cannot be a folder: a file is in the way. Choose another with --data.")
    return StackError(f"The data folder {folder} cannot be used: {error.strerror}. Choose another with --data.")


def _full(folder: Path) -> StackError:
    return StackError(
        f"The disk that holds {folder} is full (Souk needs {SPACE_NEEDED // 1024**2} MB to start). "
        "Make room there, or choose a folder on another disk with --data."
    )


def purge(layout: Layout) -> bool:
    """Removes the folder of a stack that does not run; says whether there was one."""
    if not layout.data.exists():
        return False
    if not layout.is_ours():
        raise StackError(f"{layout.data} is not a data folder of Souk's: nothing was removed.")
    if layout.postgres.is_symlink():
        shutil.rmtree(layout.postgres.resolve(), ignore_errors=True)
    shutil.rmtree(layout.data)
    return True
