"""`souk import`: what is told of a file, of a shop that is not there, and of rows that do not come in."""

import asyncio
import io
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

from infra.foundation.ids import new_id
from infra.ops.cli.import_products import read, rows_of, show
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.stack import Stack

HEADER = "Handle,Title,Body (HTML),Tags,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,Variant Price\n"


async def souk(*words: str, **environment: str) -> tuple[int, str]:
    """The command as a person runs it: its exit code, and all that it says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SOUK_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infra.ops.cli.app",
        *words,
        env={**kept, "COLUMNS": "120", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def product_file(folder: Path, *, broken: bool = False) -> Path:
    mark = new_id().hex
    rows = [
        f"lamp-{mark},Lamp,A lamp,light,Size,Small,S-{mark},3,19.99",
        f"lamp-{mark},,,,,Large,L-{mark},4,29.99",
        f"tea-{mark},Tea,A tea,leaf,,,T-{mark},5,{'a lot' if broken else '4.50'}",
        f"rug-{mark},Rug,A rug,wool,,,R-{mark},1,199.00",
    ]
    path = folder / "products.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    return path


async def test_a_file_comes_in_and_a_second_time_changes_nothing(stack: Stack, tmp_path: Path) -> None:
    file, data = str(product_file(tmp_path)), str(stack.options.data)
    code, said = await souk("import", file, "--data", data)
    assert code == 0, said
    assert "products.csv is in the shop: 4 rows read." in said
    assert said.split()[-5:] == ["3", "4", "3", "0", "0"]
    code, said = await souk("import", file, "--data", data)
    assert code == 0, said
    assert said.split()[-5:] == ["3", "4", "0", "0", "3"]


async def test_a_broken_row_is_shown_with_its_line(stack: Stack, tmp_path: Path) -> None:
    code, said = await souk("import", str(product_file(tmp_path, broken=True)), "--data", str(stack.options.data))
    assert code == 0, said
    assert "1 row did not come in" in said
    (fault,) = [line for line in said.splitlines() if line.strip().startswith("4 ")]
    assert len(fault.split()) > 2


async def test_what_is_no_csv_is_told_plainly(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "picture.csv"
    path.write_bytes(bytes(range(256)) * 10)
    code, said = await souk("import", str(path), "--data", str(stack.options.data))
    assert code == 1
    assert "Traceback" not in said
    assert "CSV" in said


async def test_a_missing_file_is_told_plainly(tmp_path: Path) -> None:
    code, said = await souk("import", str(tmp_path / "nothing.csv"))
    assert (code, said.strip()) == (1, f"There is no file {tmp_path / 'nothing.csv'}.")


async def test_a_shop_that_does_not_run_is_told_plainly(tmp_path: Path) -> None:
    code, said = await souk("import", str(product_file(tmp_path)), "--data", str(tmp_path / "souk"))
    assert code == 1
    assert "Start it with `souk up`" in said
    assert "Traceback" not in said


async def test_a_shop_elsewhere_that_does_not_answer_is_told_plainly(tmp_path: Path) -> None:
    code, said = await souk(
        "import",
        str(product_file(tmp_path)),
        "--url",
        "http://127.0.0.1:9",
        SOUK_ADMIN_EMAIL="admin@example.com",
        SOUK_ADMIN_PASSWORD="correct horse",
    )
    assert code == 1
    assert "Nobody answers at http://127.0.0.1:9" in said
    assert "Traceback" not in said


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="is a folder"):
        read(tmp_path)


def test_rows_are_counted_as_csv_has_them() -> None:
    assert rows_of(b'a,b\n1,"two\nlines"\n\n3,4\n') == 2
    assert rows_of(b"") == 0
    assert rows_of(b"\xff\xfe\x00") is None


def test_a_fault_is_shown_as_it_is() -> None:
    written = io.StringIO()
    fault = {"line": 7, "detail": "[red]3[/red] is no price"}
    counts = dict.fromkeys(("rows", "products", "variants", "created", "updated", "unchanged"), 0)
    show({**counts, "status": "failed", "errors": [fault] * 60}, "a.csv", Console(file=written, width=100))
    said = written.getvalue()
    assert "a.csv could not be brought in" in said
    assert "[red]3[/red] is no price" in said
    assert "... and 10 more." in said
