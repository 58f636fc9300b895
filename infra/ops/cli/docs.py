"""`souk docs`: writes the documents that are generated from contracts and routes, and checks that they are current."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import orjson
import typer

from edge.openapi.access_table import access_table_lines
from edge.openapi.document import build_openapi
from infra.contract_tools.asyncapi import build_asyncapi
from infra.contract_tools.compatibility import breaking_changes
from infra.contract_tools.snapshot import contract_snapshot
from infra.ops.cli.architecture_diagram import draw_architecture
from infra.ops.devstack.errors import StackError

REPOSITORY = Path(__file__).parents[3]
GENERATED = Path("docs/generated")
SNAPSHOT = Path("tests/contracts/snapshot.json")
DOCUMENTS: Mapping[str, Callable[[], bytes]] = {
    "openapi.json": lambda: _to_json(build_openapi()),
    "asyncapi.json": lambda: _to_json(build_asyncapi()),
    "access.md": lambda: "".join(f"{line}\n" for line in access_table_lines()).encode(),
    "architecture.svg": lambda: draw_architecture().encode(),
}


def docs(
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the documents to this folder. Works without a clone.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a file is out of date.")
    ] = False,
    allow_breaking: Annotated[
        bool, typer.Option("--allow-breaking", help="Accept contracts that break existing clients.")
    ] = False,
    breaks: Annotated[bool, typer.Option("--breaks", hidden=True)] = False,
) -> None:
    """Generate OpenAPI, AsyncAPI, the access table and the architecture diagram.

    In a clone of the repository, without --out, this writes docs/generated and the snapshot of the contracts. The
    snapshot is refused when it would break existing clients.

    Example: souk docs --out /tmp/souk-docs
    """
    if out is not None:
        files = {out / name: make for name, make in DOCUMENTS.items()}
    else:
        if not (REPOSITORY / SNAPSHOT).is_file():
            raise StackError("This is not a clone of the repository. Choose a folder for the documents with --out DIR.")
        files = {REPOSITORY / GENERATED / name: make for name, make in DOCUMENTS.items()}
        files[REPOSITORY / SNAPSHOT] = lambda: _snapshot(allow_breaking=allow_breaking or breaks)
    for path, make in files.items():
        _update(path, make(), check=check)


def _update(path: Path, content: bytes, *, check: bool) -> None:
    is_current = path.is_file() and path.read_bytes() == content
    shown = path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
    if is_current:
        typer.echo(f"{shown} is current")
        return
    if check:
        raise StackError(f"{shown} is out of date. Run `souk docs` and commit the result.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise StackError(f"Cannot write {shown}: {error.strerror}. Choose another folder with --out DIR.") from None
    typer.echo(f"{shown} written")


def _snapshot(*, allow_breaking: bool) -> bytes:
    snapshot = contract_snapshot()
    changes = breaking_changes(orjson.loads((REPOSITORY / SNAPSHOT).read_bytes()), snapshot)
    if changes and not allow_breaking:
        raise StackError(
            "The contracts break existing clients, as listed above. Add new names instead, or pass --allow-breaking.",
            changes,
        )
    return _to_json(snapshot)


def _to_json(document: object) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
