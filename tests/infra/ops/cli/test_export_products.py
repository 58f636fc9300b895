"""`souk export`: its file, and what is left of an export that breaks off."""

from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from infra.ops.cli.admin_client import AdminApi
from infra.ops.cli.export_products import save_export
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.stack import Stack
from tests.support.souk_command import run_souk


async def test_an_export_is_written_to_a_file(stack: Stack, tmp_path: Path) -> None:
    data, file = str(stack.settings.data), tmp_path / "export.csv"
    code, output = await run_souk("export", str(file), "--dialect", "legacy", "--data", data)
    assert code == 0, output
    assert f"export.csv was written: {file.stat().st_size:,} bytes." in output
    assert file.read_text().startswith("Handle,Title,Body (HTML),Vendor,")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.csv"]


async def _break_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"Title\r\n")
    assert request.transport is not None
    request.transport.abort()
    return response


async def test_an_export_that_breaks_off_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_text("earlier")
    app = web.Application()
    app.router.add_get("/api/v1/products/export", _break_off)
    async with TestServer(app) as server, ClientSession() as session:
        api = AdminApi(session, str(server.make_url("/")), "token")
        with pytest.raises(StackError, match="broke off"):
            await save_export(api, "current", file, lambda _: None)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("export.csv", "earlier")]
