"""The layout: which files a service has, how long files may be, and which module may do what."""

import re

import pytest

from contracts.registry import SERVICES
from tests.architecture.sources import PACKAGES, ROOT, facts_of, modules, relative_name

MAX_FILE_LINES, MAX_FUNCTION_LINES = 350, 50
SERVICE_FILES = {"__init__.py", "app.py", "settings.py", "deps.py", "checks.py"}
SERVICE_PACKAGES = {"handlers", "domain", "store"}
WITHOUT_WORKERS = {"cart"}
"""Services without background work of their own."""
VAGUE_NAMES = {"utils", "helpers", "common", "misc", "base", "core", "lib"}
TOP_LEVEL = {
    "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "SECURITY.md", "contracts",
    "docker-compose.yml", "docs", "edge", "infra", "nginx", "pyproject.toml", "requirements-dev.lock",
    "requirements.lock", "services", "tests",
}  # fmt: skip


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_files(service: str) -> None:
    folder = ROOT / "services" / service
    packages = {path.name for path in folder.iterdir() if (path / "__init__.py").is_file()}
    expected = SERVICE_PACKAGES if service in WITHOUT_WORKERS else SERVICE_PACKAGES | {"workers"}
    assert {name for name in SERVICE_FILES if not (folder / name).is_file()} == set()
    assert expected - packages == set()
    assert service not in WITHOUT_WORKERS or "workers" not in packages


def test_every_package_says_what_it_holds() -> None:
    folders = {path.parent for path in modules(*PACKAGES)}
    packages = [folder / "__init__.py" for folder in sorted(folders) if folder != ROOT / "services"]
    undocumented = [relative_name(path) for path in packages if not path.is_file() or not facts_of(path).docstring]
    assert undocumented == []


def test_every_module_says_what_it_holds() -> None:
    assert [relative_name(path) for path in modules(*PACKAGES, "tests") if not facts_of(path).docstring] == []


def test_the_top_level_has_only_known_entries() -> None:
    visible = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert {name for name in visible - TOP_LEVEL if not name.endswith(".egg-info") and name != "build"} == set()


def test_files_are_short() -> None:
    """One that is too long is split by behaviour."""
    lines = {relative_name(path): path.read_text().count("\n") for path in modules(*PACKAGES, "tests")}
    assert {name: count for name, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_functions_are_short() -> None:
    found = [
        f"{relative_name(path)}: {name} has {lines} lines"
        for path in modules(*PACKAGES, "tests")
        for name, lines in facts_of(path).functions
        if lines > MAX_FUNCTION_LINES
    ]
    assert found == []


def test_no_module_has_a_vague_name() -> None:
    assert [relative_name(path) for path in modules(*PACKAGES) if path.stem in VAGUE_NAMES] == []


def test_only_contracts_write_subjects() -> None:
    """The exceptions derive subjects: the topology, the NATS permissions, and commands that use wildcards."""
    allowed = {
        "infra/messaging/nats_accounts.py",
        "infra/messaging/permissions.py",
        "infra/messaging/topology.py",
        "infra/runtime/service.py",
        "infra/ops/cli/demo.py",
        "infra/ops/cli/provision.py",
    }
    found = [
        f"{relative_name(path)}:{line}"
        for path in modules("infra", "services", "edge")
        if relative_name(path) not in allowed
        for line, text in facts_of(path).strings
        if re.match(r"^(rpc|event)\.[a-z*>{]", text)
    ]
    assert found == []


def test_only_the_store_modules_use_motor() -> None:
    allowed = (
        "infra/database/mongo.py",
        "infra/database/mongo_spans.py",
        "services/cart/store/",
        "infra/ops/devstack/",
    )
    pattern = re.compile(r"^\s*(from|import) (motor|pymongo)", re.MULTILINE)
    users = [relative_name(path) for path in modules(*PACKAGES) if pattern.search(path.read_text())]
    assert [name for name in users if not name.startswith(allowed)] == []


def test_only_the_registry_writes_advisory_locks() -> None:
    """The migrations and the relay hold their lock for a session, with a number of the registry."""
    allowed = {"infra/database/advisory_locks.py", "infra/database/migrate.py", "infra/database/outbox.py"}
    pattern = re.compile(r"advisory(_xact)?_lock\(")
    users = {relative_name(path) for path in modules(*PACKAGES) if pattern.search(path.read_text())}
    assert users - allowed == set()


def test_domains_are_pure() -> None:
    """A domain has no I/O, no clock and no randomness: it imports contracts and pure parts of the standard library."""
    forbidden = re.compile(r"^\s*(from|import) (infra|asyncio|asyncpg|nats|time|random|secrets|os|socket)\b", re.M)  # noqa: FURB167 - short
    domains = [path for service in SERVICES for path in modules(f"services/{service}/domain")]
    assert domains
    assert [relative_name(path) for path in domains if forbidden.search(path.read_text())] == []


def test_tests_do_not_sleep() -> None:
    """A sleep is a guess: tests wait with `eventually`.

    Load generators, measurements and fault injectors may keep time, and one test blocks its own process on purpose.
    """
    allowed = {"tests/support/eventually.py", "tests/infra/messaging/test_rpc_server.py"}
    tests = [
        path for path in modules("tests") if path.stem.startswith(("test_", "conftest")) or "support" in path.parts
    ]
    assert {relative_name(path) for path in tests if facts_of(path).sleeps} - allowed == set()


def test_the_import_law_covers_every_service() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert [name for name in SERVICES if f'    "services.{name}",' not in text] == []
    assert [name for name in SERVICES if f'containers = ["services.{name}"]' not in text] == []
