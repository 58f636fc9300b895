import os
from pathlib import Path

import pytest

from infra.ops.devstack.data_dir import open_data_folder, purge
from infra.ops.devstack.run_as_user import account, can_reach, data_home, reachable
from infra.ops.devstack.server_binaries import Search, version_of
from infra.ops.devstack.supervised_process import User

STRANGER = User("stranger", 54321, 54321)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as another user only for root")


def test_a_folder_is_reached_through_all_above_it(tmp_path: Path) -> None:
    inner = tmp_path / "closed" / "open"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    assert not can_reach(STRANGER, inner)
    assert can_reach(User("owner", os.geteuid(), os.getegid()), inner)


def test_without_root_it_runs_as_ourselves_in_the_data_folder(tmp_path: Path) -> None:
    layout = open_data_folder(tmp_path / "souk")
    assert data_home(layout, None) == layout.postgres
    assert reachable(Search().postgres(), None) == Search().postgres()


@needs_root
def test_data_in_a_closed_folder_gets_a_shelter_that_purge_removes(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    layout, user = open_data_folder(tmp_path / "souk"), account()
    assert user
    home = data_home(layout, user)
    assert layout.postgres.is_symlink()
    assert can_reach(user, home)
    assert home.stat().st_uid == user.uid
    assert data_home(layout, user) == home
    purge(layout)
    assert not home.exists()


@needs_root
def test_a_wheel_in_a_closed_folder_is_copied_to_where_its_user_can_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.ops.devstack.run_as_user.SHELTERS", [str(tmp_path / "shelter")])
    wheel = Search(path="").postgres()
    copy = reachable(wheel, STRANGER) if not can_reach(STRANGER, wheel.binary) else None
    monkeypatch.setattr("infra.ops.devstack.run_as_user.can_reach", lambda _user, _path: False)
    copy = copy or reachable(wheel, STRANGER)
    assert copy.binary.is_relative_to(tmp_path / "shelter")
    assert copy.binary.stat().st_mode & 0o005 == 0o005
    assert version_of(copy.binary) == version_of(wheel.binary)
    assert reachable(wheel, STRANGER) == copy
