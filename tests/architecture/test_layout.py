"""The house rules that no linter knows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.registry import SERVICES

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("contracts", "infra", "services", "edge")
LONGEST_FILE, LONGEST_FUNCTION = 350, 50
NO_ROOMS = {"utils", "helpers", "common", "misc", "base", "core", "lib"}
TOP_LEVEL = {
    "LICENSE", "Makefile", "README.md", "contracts", "docker-compose.yml", "docs", "edge", "infra", "nginx",
    "pyproject.toml", "requirements-dev.lock", "requirements.lock", "services", "tests",
}  # fmt: skip


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Every string of a module that is not a docstring."""
    tree = ast.parse(path.read_text())
    prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            yield node.lineno, node.value


@pytest.mark.parametrize("service", SERVICES)
def test_the_same_rooms_everywhere(service: str) -> None:
    folder = ROOT / "services" / service
    rooms = {path.stem for path in folder.iterdir()}
    assert {"__init__", "app", "handlers", "domain", "store"} <= rooms
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    assert said, f"services/{service}/__init__.py says what it owns, hears and says"


def test_nothing_else_at_the_top() -> None:
    visible = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert {name for name in visible - TOP_LEVEL if not name.endswith(".egg-info") and name != "build"} == set()


@pytest.mark.parametrize("path", sources(*PACKAGES, "tests"), ids=name_of)
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LONGEST_FILE, "split it by behaviour"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION, f"{node.name} is too long"


def test_no_room_without_a_subject() -> None:
    assert [name_of(path) for path in sources(*PACKAGES) if path.stem in NO_ROOMS] == []


def test_subjects_are_written_down_in_contracts_only() -> None:
    """Two rules of the topology are code: what a service listens to, and what a user may touch."""
    allowed = {
        "infra/messaging/permissions.py",
        "infra/messaging/topology.py",
        "infra/runtime/service.py",
        "infra/ops/cli/demo.py",
        "infra/ops/cli/provision.py",
    }
    found = [
        f"{name_of(path)}:{line}"
        for path in sources("infra", "services", "edge")
        if name_of(path) not in allowed
        for line, text in strings(path)
        if re.match(r"^(rpc|event)\.[a-z*>{]", text)
    ]
    assert found == []


def test_only_two_modules_know_motor() -> None:
    knowing = [
        name_of(path)
        for path in sources(*PACKAGES)
        if re.search(r"^\s*(from|import) (motor|pymongo)", path.read_text(), re.MULTILINE)
    ]
    assert [
        name
        for name in knowing
        if not name.startswith(("infra/database/mongo.py", "services/cart/store", "infra/ops/devstack/"))
    ] == []


def test_domains_do_nothing() -> None:
    """No I/O, no clock, no randomness: a domain imports contracts and the standard library's pure parts."""
    forbidden = re.compile(r"^\s*(from|import) (infra|asyncio|asyncpg|nats|time|random|secrets|os|socket)\b", re.M)  # noqa: FURB167 - short
    domains = [
        path
        for service in SERVICES
        for path in sources(f"services/{service}")
        if "domain" in {path.stem, path.parent.name}
    ]
    assert domains
    assert [name_of(path) for path in domains if forbidden.search(path.read_text())] == []


def test_tests_wait_for_something() -> None:
    """A sleep is a guess; `eventually` is where the looking again is done.

    What only loads, measures or disturbs the shop keeps time; and one test makes its own process stand still.
    """
    allowed = {"tests/support/eventually.py", "tests/infra/messaging/test_rpc_server.py"}
    pattern = re.compile(r"\b(time|asyncio)\.sleep\((?!0\))")
    tests = [
        path for path in sources("tests") if path.stem.startswith(("test_", "conftest")) or "support" in path.parts
    ]
    found = [name_of(path) for path in tests if name_of(path) not in allowed and _calls(path, pattern)]
    assert found == []


def _calls(path: Path, pattern: re.Pattern[str]) -> bool:
    """Whether the module's own code has a call like that; what it hands to another process is not its own."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return any(pattern.match(ast.unparse(node)) for node in calls)


def test_the_import_law_knows_every_service() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert all(f'"services.{service}"' in text for service in SERVICES)
