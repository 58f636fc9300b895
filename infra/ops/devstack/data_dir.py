"""The data folder: its paths, and the check that it belongs to Souk before anything is written or removed."""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from infra.ops.devstack.errors import StackError
from infra.ops.devstack.private_files import PRIVATE_DIR_MODE, create_private_dir, restrict, write_private

MARKER = "souk-data.txt"
MARKER_TEXT = (
    "Everything in this folder belongs to the shop that `souk up` runs. `souk down --purge` removes the folder.\n"
)
REQUIRED_DISK_BYTES = 400 * 1024 * 1024


@dataclass(frozen=True)
class DataDir:
    """The paths inside a data folder."""

    path: Path

    @property
    def secrets_dir(self) -> Path:
        """Passwords and keys, one folder for each owner."""
        return self.path / "secrets"

    @property
    def logs_dir(self) -> Path:
        """The logs of all processes."""
        return self.path / "logs"

    @property
    def run_dir(self) -> Path:
        """Configurations and state, rewritten at every start."""
        return self.path / "run"

    @property
    def mail_dir(self) -> Path:
        """The mails that the shop has sent."""
        return self.path / "mail"

    @property
    def lock_file(self) -> Path:
        """Locked while a stack runs on the folder."""
        return self.run_dir / "lock"

    @property
    def state_file(self) -> Path:
        """The state for other commands."""
        return self.run_dir / "state.json"

    @property
    def postgres_dir(self) -> Path:
        """A folder, or a link to one that PostgreSQL's user can reach."""
        return self.path / "postgres"

    def log_file(self, name: str) -> Path:
        """The log of a process."""
        return self.logs_dir / f"{name}.log"

    def is_marked(self) -> bool:
        """Tells whether the folder carries Souk's marker file."""
        return (self.path / MARKER).is_file()


def data_dir_at(data: Path) -> DataDir:
    """Returns the paths of a data folder without touching it."""
    return DataDir(data.expanduser().absolute())


def open_data_dir(data: Path, *, required_bytes: int = REQUIRED_DISK_BYTES) -> DataDir:
    """Creates the folder if it is missing. Refuses one with other files, one that is not writable, and a full disk."""
    data_dir = data_dir_at(data)
    try:
        _create(data_dir)
        for folder in (data_dir.secrets_dir, data_dir.logs_dir, data_dir.run_dir, data_dir.mail_dir):
            create_private_dir(folder)
    except OSError as error:
        raise data_dir_error(data_dir.path, error) from None
    if shutil.disk_usage(data_dir.path).free < required_bytes:
        raise _disk_full_error(data_dir.path)
    return data_dir


def _create(data_dir: DataDir) -> None:
    if data_dir.path.is_dir() and not data_dir.is_marked() and any(data_dir.path.iterdir()):
        raise StackError(
            f"{data_dir.path} contains files that Souk did not create. "
            "Choose an empty or new folder with --data (SOUK_DATA)."
        )
    # Under root, PostgreSQL runs as another user, which must be able to traverse the folder to reach its own.
    mode = 0o711 if os.geteuid() == 0 else PRIVATE_DIR_MODE
    data_dir.path.mkdir(mode=mode, parents=True, exist_ok=True)
    restrict(data_dir.path, mode)
    write_private(data_dir.path / MARKER, MARKER_TEXT)
    write_private(data_dir.path / ".gitignore", "*\n")


def data_dir_error(folder: Path, error: OSError) -> StackError:
    """Explains an error of the file system to the user."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _disk_full_error(folder)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StackError(
            f"Souk cannot write to {error.filename or folder}. Change its owner, or choose another folder with --data."
        )
    if error.errno in {errno.ENOTDIR, errno.EEXIST}:
        return StackError(f"{folder} cannot be created: a file is in the way. Choose another folder with --data.")
    return StackError(f"The data folder {folder} is not usable: {error.strerror}. Choose another with --data.")


def _disk_full_error(folder: Path) -> StackError:
    return StackError(
        f"The disk that holds {folder} is full (Souk needs {REQUIRED_DISK_BYTES // 1024**2} MB to start). "
        "Free some space, or choose a folder on another disk with --data."
    )


def remove_data_dir(data_dir: DataDir) -> bool:
    """Removes the folder of a stack that does not run. Returns whether there was one."""
    if not data_dir.path.exists():
        return False
    if not data_dir.is_marked():
        raise StackError(f"{data_dir.path} is not a data folder of Souk. Nothing was removed.")
    if data_dir.postgres_dir.is_symlink():
        shutil.rmtree(data_dir.postgres_dir.resolve(), ignore_errors=True)
    shutil.rmtree(data_dir.path)
    return True
