"""The data folder: creation, refusals and removal."""

import errno
import shutil
from pathlib import Path

import pytest

from infra.ops.devstack.data_dir import data_dir_at, data_dir_error, open_data_dir, remove_data_dir
from infra.ops.devstack.errors import StackError


def test_a_new_folder_is_created_and_opened_again(tmp_path: Path) -> None:
    layout = open_data_dir(tmp_path / "a" / "souk")
    assert open_data_dir(tmp_path / "a" / "souk") == layout
    assert layout.is_marked()
    assert layout.secrets_dir.stat().st_mode & 0o777 == 0o700


def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("...")
    with pytest.raises(StackError, match=r"contains files that Souk did not create.*--data"):
        open_data_dir(tmp_path)
    with pytest.raises(StackError, match="Nothing was removed"):
        remove_data_dir(data_dir_at(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_at_the_path_is_refused(tmp_path: Path) -> None:
    (tmp_path / "souk").write_text("")
    with pytest.raises(StackError, match="a file is in the way"):
        open_data_dir(tmp_path / "souk")


def test_a_full_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"The disk that holds .* is full.*Free some space"):
        open_data_dir(tmp_path / "souk", required_bytes=shutil.disk_usage(tmp_path).total * 2)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "is full"),
        (errno.EACCES, "cannot write"),
        (errno.EROFS, "cannot write"),
        (errno.EIO, "is not usable"),
    ],
)
def test_file_system_errors_are_explained(number: int, words: str) -> None:
    message = data_dir_error(Path("/x"), OSError(number, "error")).message
    assert words in message
    assert "--data" in message


def test_removal_includes_linked_folders(tmp_path: Path) -> None:
    layout = open_data_dir(tmp_path / "souk")
    shelter = tmp_path / "shelter"
    shelter.mkdir()
    (shelter / "PG_VERSION").write_text("18")
    layout.postgres_dir.symlink_to(shelter)
    assert remove_data_dir(layout)
    assert not layout.path.exists()
    assert not shelter.exists()
    assert not remove_data_dir(layout)
