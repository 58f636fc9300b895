"""PostgreSQL under root: another user, and folders that it can reach."""

import os
from pathlib import Path

import pytest

from infra.ops.devstack.data_dir import open_data_dir, remove_data_dir
from infra.ops.devstack.run_as_user import accessible_server, can_access, postgres_home, postgres_user
from infra.ops.devstack.server_binaries import ServerFinder, binary_version
from infra.ops.devstack.supervised_process import OsUser

STRANGER = OsUser("stranger", 54321, 54321)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as another user only for root")


def test_access_depends_on_every_parent_folder(tmp_path: Path) -> None:
    inner = tmp_path / "closed" / "open"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    assert not can_access(STRANGER, inner)
    assert can_access(OsUser("owner", os.geteuid(), os.getegid()), inner)


def test_without_root_the_current_user_and_the_data_folder_are_used(tmp_path: Path) -> None:
    layout = open_data_dir(tmp_path / "souk")
    assert postgres_home(layout, None) == layout.postgres_dir
    assert accessible_server(ServerFinder().postgres(), None) == ServerFinder().postgres()


@needs_root
def test_data_below_a_closed_folder_moves_to_a_linked_one(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    layout, user = open_data_dir(tmp_path / "souk"), postgres_user()
    assert user
    home = postgres_home(layout, user)
    assert layout.postgres_dir.is_symlink()
    assert can_access(user, home)
    assert home.stat().st_uid == user.uid
    assert postgres_home(layout, user) == home
    remove_data_dir(layout)
    assert not home.exists()


@needs_root
def test_a_wheel_below_a_closed_folder_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.ops.devstack.run_as_user.SHARED_DIRS", [str(tmp_path / "shelter")])
    wheel = ServerFinder(path="").postgres()
    copy = accessible_server(wheel, STRANGER) if not can_access(STRANGER, wheel.binary) else None
    monkeypatch.setattr("infra.ops.devstack.run_as_user.can_access", lambda _user, _path: False)
    copy = copy or accessible_server(wheel, STRANGER)
    assert copy.binary.is_relative_to(tmp_path / "shelter")
    assert copy.binary.stat().st_mode & 0o005 == 0o005
    assert binary_version(copy.binary) == binary_version(wheel.binary)
    assert accessible_server(wheel, STRANGER) == copy
