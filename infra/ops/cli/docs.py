"""`souk docs`: OpenAPI, AsyncAPI, the table of who may do what, and the snapshot of the contracts, written anew."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import orjson
import typer

from infra.contract_tools.asyncapi import build_asyncapi
from infra.contract_tools.compatibility import breaking_changes
from infra.contract_tools.snapshot import contract_snapshot
from infra.ops.devstack.errors import StackError

ROOT = Path(__file__).parents[3]
SNAPSHOT = Path("tests/contracts/snapshot.json")


def docs(
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a file is out of date.")] = False,
    breaks: Annotated[bool, typer.Option("--breaks", help="Take a snapshot that breaks the one before.")] = False,
) -> None:
    """Write the generated documents and the snapshot of the contracts."""
    made: dict[Path, Callable[[], bytes]] = {
        Path("docs/generated/openapi.json"): lambda: _of_edge("edge.openapi.document"),
        Path("docs/generated/access.md"): lambda: _of_edge("edge.openapi.access_table"),
        Path("docs/generated/asyncapi.json"): lambda: _text(build_asyncapi()),
        SNAPSHOT: lambda: _snapshot(ROOT / SNAPSHOT, breaks=breaks),
    }
    for path, make in made.items():
        target, text = ROOT / path, make()
        same = target.exists() and target.read_bytes() == text
        if check and not same:
            raise StackError(f"{path} is not what the contracts say; run `souk docs`.")
        if not same:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text)
        typer.echo(f"{path} {'is as it was' if same else 'written'}")


def _of_edge(module: str) -> bytes:
    # The edge owns the routes, and infra may not import the edge.
    command = [sys.executable, "-m", module]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603 - one of our own


def _snapshot(path: Path, *, breaks: bool) -> bytes:
    now = contract_snapshot()
    if path.exists() and not breaks and (found := breaking_changes(orjson.loads(path.read_bytes()), now)):
        message = "The contracts break those who rely on them; give what is new another name, or say --breaks."
        raise StackError(message, found)
    return _text(now)


def _text(document: object) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
