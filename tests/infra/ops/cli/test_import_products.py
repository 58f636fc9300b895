"""`souk import`: its result, its errors, and the rows that are not imported."""

import asyncio
import io
import re
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from rich.console import Console

from infra.foundation.ids import new_id
from infra.ops.cli.admin_client import AdminApi
from infra.ops.cli.import_products import count_rows, print_result, read_product_file
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.stack import Stack
from tests.support.souk_command import run_souk

HEADER = "Handle,Title,Body (HTML),Tags,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,Variant Price\n"


def product_file(folder: Path, *, broken: bool = False) -> Path:
    suffix = new_id().hex
    rows = [
        f"lamp-{suffix},Lamp,A lamp,light,Size,Small,S-{suffix},3,19.99",
        f"lamp-{suffix},,,,,Large,L-{suffix},4,29.99",
        f"tea-{suffix},Tea,A tea,leaf,,,T-{suffix},5,{'a lot' if broken else '4.50'}",
        f"rug-{suffix},Rug,A rug,wool,,,R-{suffix},1,199.00",
    ]
    path = folder / "products.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    return path


async def test_importing_a_file_again_changes_nothing(stack: Stack, tmp_path: Path) -> None:
    file, data = str(product_file(tmp_path)), str(stack.settings.data)
    code, output = await run_souk("import", file, "--dry-run", "--data", data)
    assert code == 0, output
    assert "products.csv would be imported: 4 rows read." in output
    assert " 3 4 3 0 0 The first changes: " in " ".join(output.split())
    assert output.count("a new product") == 3
    code, output = await run_souk("import", file, "--data", data)
    assert code == 0, output
    assert "products.csv was imported: 4 rows read." in output
    assert output.split()[-5:] == ["3", "4", "3", "0", "0"]
    code, output = await run_souk("import", file, "--data", data)
    assert code == 0, output
    assert output.split()[-5:] == ["3", "4", "0", "0", "3"]


async def test_a_row_that_fails_is_shown_with_its_line_and_exit_code_1(stack: Stack, tmp_path: Path) -> None:
    code, output = await run_souk(
        "import", str(product_file(tmp_path, broken=True)), "--data", str(stack.settings.data)
    )
    assert code == 1, output
    assert "1 row not imported" in output
    (error,) = [line for line in output.splitlines() if line.strip().startswith("4 ")]
    assert len(error.split()) > 2


async def test_a_file_that_is_no_csv_gets_a_clear_error(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "picture.csv"
    path.write_bytes(bytes(range(256)) * 10)
    code, output = await run_souk("import", str(path), "--data", str(stack.settings.data))
    assert code == 1
    assert "Traceback" not in output
    assert "CSV" in output


async def test_a_missing_file_gets_a_clear_error(tmp_path: Path) -> None:
    code, output = await run_souk("import", str(tmp_path / "nothing.csv"))
    assert (code, output.strip()) == (1, f"There is no file {tmp_path / 'nothing.csv'}.")


async def test_a_local_shop_that_does_not_run_gets_a_clear_error(tmp_path: Path) -> None:
    code, output = await run_souk("import", str(product_file(tmp_path)), "--data", str(tmp_path / "souk"))
    assert code == 1
    assert "Start it with `souk up`" in output
    assert "Traceback" not in output


async def test_a_remote_shop_that_does_not_answer_gets_a_clear_error(tmp_path: Path) -> None:
    code, output = await run_souk(
        "import",
        str(product_file(tmp_path)),
        "--url",
        "http://127.0.0.1:9",
        SOUK_ADMIN_EMAIL="admin@example.com",
        SOUK_ADMIN_PASSWORD="correct horse",
    )
    assert code == 1
    assert "No shop answers at http://127.0.0.1:9" in output
    assert "Traceback" not in output


def test_a_folder_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="is a folder"):
        read_product_file(tmp_path)


def test_rows_are_counted_as_csv() -> None:
    assert count_rows(b'a,b\n1,"two\nlines"\n\n3,4\n') == 2
    assert count_rows(b"") == 0
    assert count_rows(b"\xff\xfe\x00") is None


def test_errors_are_printed_without_markup() -> None:
    written = io.StringIO()
    error = {"line": 7, "handle": "lamp", "field": "Price", "value": "[red]3[/red]", "detail": "[b]is no price[/b]"}
    counts = dict.fromkeys(("rows", "products", "variants", "created", "updated", "unchanged"), 0)
    warning = {**error, "value": "long " * 50}
    job = {**counts, "status": "failed", "warnings": [warning], "errors": [error] * 60}
    print_result(job, "a.csv", Console(file=written, width=160))
    output = written.getvalue()
    assert "a.csv could not be imported" in output
    assert re.search(r"7 +lamp +Price +\[red\]3\[/red\] +\[b\]is no price\[/b\]", output)
    assert re.search(r"1 value was changed or left out:\n.*\n.* 7 +lamp +Price +(long ){8}…", output)
    assert "... and 10 more." in output


async def test_a_wait_for_the_shop_is_told() -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.json_response({"code": "too_many_requests"}, status=429, headers={"Retry-After": "1"})

    waits: list[float] = []
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    async with TestServer(app) as server, ClientSession() as session:
        api = AdminApi(session, str(server.make_url("/")))
        api.on_wait = waits.append
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await api.get("/products")
    assert waits == [1.0]
