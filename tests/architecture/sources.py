"""The project's files and what is written in them, for the tests of names, layout and prose."""

import ast
import io
import subprocess
import tokenize
from collections.abc import Iterator
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


@cache
def syntax_tree(path: Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(path.read_text())


def string_literals(path: Path) -> Iterator[tuple[int, str]]:
    """Line and value of every string of a module, except docstrings."""
    tree = syntax_tree(path)
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            yield node.lineno, node.value


def defined_names(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of every class, function, parameter and variable that a module defines."""
    for node in ast.walk(syntax_tree(path)):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of what a person reads in a file: comments and strings of code, all of a document."""
    if path.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING):
                yield token.start[0], token.string
    elif path.suffix in PROSE_SUFFIXES or path.name in PROSE_NAMES:
        yield from enumerate(path.read_text().splitlines(), 1)
