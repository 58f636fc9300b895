import errno
import shutil
from pathlib import Path

import pytest

from infra.ops.devstack.data_dir import layout_of, open_data_folder, purge, unusable
from infra.ops.devstack.errors import StackError


def test_a_new_folder_is_made_and_opened_again(tmp_path: Path) -> None:
    layout = open_data_folder(tmp_path / "a" / "souk")
    assert open_data_folder(tmp_path / "a" / "souk") == layout
    assert layout.is_ours()
    assert layout.secrets.stat().st_mode & 0o777 == 0o700


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("...")
    with pytest.raises(StackError, match=r"holds files that are not Souk's.*--data"):
        open_data_folder(tmp_path)
    with pytest.raises(StackError, match="nothing was removed"):
        purge(layout_of(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "souk").write_text("")
    with pytest.raises(StackError, match="a file is in the way"):
        open_data_folder(tmp_path / "souk")


def test_no_space(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"The disk that holds .* is full.*Make room there"):
        open_data_folder(tmp_path / "souk", space_needed=shutil.disk_usage(tmp_path).total * 2)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "is full"),
        (errno.EACCES, "may not write"),
        (errno.EROFS, "may not write"),
        (errno.EIO, "cannot be used"),
    ],
)
def test_errors_of_the_file_system_have_plain_words(number: int, words: str) -> None:
    message = unusable(Path("/x"), OSError(number, "error")).message
    assert words in message
    assert "--data" in message


def test_purge_removes_the_folder_and_what_it_links_to(tmp_path: Path) -> None:
    layout = open_data_folder(tmp_path / "souk")
    shelter = tmp_path / "shelter"
    shelter.mkdir()
    (shelter / "PG_VERSION").write_text("18")
    layout.postgres.symlink_to(shelter)
    assert purge(layout)
    assert not layout.data.exists()
    assert not shelter.exists()
    assert not purge(layout)
