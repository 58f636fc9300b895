"""The project's files and what is written in them, for the tests of names, layout and prose."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("contracts", "infra", "services", "edge")
PROSE_SUFFIXES = {".md", ".toml", ".yml", ".yaml", ".conf", ".html", ".js", ".css", ".txt", ".sh"}
PROSE_NAMES = {"Makefile", "Dockerfile", ".env.example"}


@cache
def project_files() -> list[Path]:
    """Every file that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],  # noqa: S607 - the git on the path
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [ROOT / name for name in sorted(listed.stdout.splitlines()) if (ROOT / name).is_file()]


def modules(*folders: str) -> list[Path]:
    """Every Python file of the project below these folders."""
    roots = [ROOT / folder for folder in folders]
    return [path for path in project_files() if path.suffix == ".py" and any(root in path.parents for root in roots)]


def relative_name(path: Path) -> str:
    """The path of a file from the root of the project."""
    return str(path.relative_to(ROOT))


@dataclass
class ModuleFacts:
    """What the tests ask about a module. The syntax trees of all modules together would fill half a gigabyte."""

    docstring: str | None
    public_classes: list[str] = field(default_factory=list)
    functions: list[tuple[str, int]] = field(default_factory=list)
    """Name and number of lines."""
    names: list[tuple[int, str]] = field(default_factory=list)
    """Line and name of every class, function, parameter and variable that the module defines."""
    strings: list[tuple[int, str]] = field(default_factory=list)
    """Line and value of every string, except docstrings."""
    sleeps: bool = False
    """Whether the module itself sleeps for longer than one turn of the event loop."""


@cache
def facts_of(path: Path) -> ModuleFacts:
    """Parses a module once for all tests."""
    tree = ast.parse(path.read_text())
    facts = ModuleFacts(ast.get_docstring(tree))
    facts.public_classes = [
        node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    docstrings = set()
    for node in ast.walk(tree):  # from the outside in, so a docstring's statement comes before its text
        match node:
            case ast.ClassDef():
                facts.names.append((node.lineno, node.name))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                assert node.end_lineno is not None
                facts.names.append((node.lineno, node.name))
                facts.functions.append((node.name, node.end_lineno - node.lineno + 1))
            case ast.arg():
                facts.names.append((node.lineno, node.arg))
            case ast.Name(ctx=ast.Store()):
                facts.names.append((node.lineno, node.id))
            case ast.Attribute(ctx=ast.Store()):
                facts.names.append((node.lineno, node.attr))
            case ast.Expr():
                docstrings.add(node.value)
            case ast.Constant(value=str()) if node not in docstrings:
                facts.strings.append((node.lineno, str(node.value)))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="time" | "asyncio"), attr="sleep")):
                facts.sleeps = facts.sleeps or ast.unparse(node.args) != "0"
    return facts


def prose(path: Path, *, containing: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """Line and text of what a person reads in a file: comments and strings of code, all of a document.

    A file without a match yields nothing: it takes long to split code into comments and strings.
    """
    is_code = path.suffix == ".py"
    if not (is_code or path.suffix in PROSE_SUFFIXES or path.name in PROSE_NAMES):
        return
    text = path.read_text()
    if not containing.search(text):
        return
    if is_code:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING):
                yield token.start[0], token.string
    else:
        yield from enumerate(text.splitlines(), 1)
