"""The limits of the machine: the simplest program of each kind that the shop consists of."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import bcrypt
import nats.errors
from aiohttp import web
from nats.aio.client import Client
from nats.aio.msg import Msg

from infra.messaging import connection as messaging
from infra.ops.devstack.server_binaries import ServerFinder
from infra.ops.devstack.stack import Stack
from tests.bench.load_generator import BenchResult, Connection, connect, run

BODY = b'{"text": "' + b"x" * 2036 + b'"}'
WORKERS = 32


async def aiohttp_limit(seconds: float) -> BenchResult:
    """One process of aiohttp on uvloop that returns 2 kB of JSON."""
    command = [sys.executable, "-m", "tests.bench.machine_limits"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(await asyncio.to_thread(process.stdout.readline))
        return await run("bare aiohttp, 2 kB", f"http://127.0.0.1:{port}", _get, workers=WORKERS, seconds=seconds)
    finally:
        process.terminate()
        process.wait()


async def nginx_limit(seconds: float) -> BenchResult:
    """Nginx with a 2 kB file."""
    async with _nginx() as url:
        return await run("Nginx, a 2 kB file", f"{url}", _get, workers=WORKERS, seconds=seconds)


@asynccontextmanager
async def _nginx() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(prefix="souk-bench-") as name:
        folder = Path(name)
        (folder / "html").mkdir()
        (folder / "html" / "index.html").write_bytes(BODY)
        port = 18_099
        config = folder / "nginx.conf"
        config.write_text(
            f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
            "events { worker_connections 256; }\n"
            f"http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {folder}/a;"
            f" proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d;"
            f" scgi_temp_path {folder}/e; server {{ listen 127.0.0.1:{port}; root {folder}/html; }} }}\n"
        )
        folder.chmod(0o755)
        process = subprocess.Popen([str(ServerFinder().nginx().binary), "-p", name, "-c", str(config)])
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(100):
                try:
                    (await connect(url)).close()
                    break
                except OSError:
                    await asyncio.sleep(0.05)
            yield url
        finally:
            process.terminate()
            process.wait()


async def nats_limit(stack: Stack, seconds: float) -> BenchResult:
    """nats-py to nats-py through the shop's own server."""
    result = BenchResult("raw nats-py echo")
    operator = stack.nats_password("operator")
    async with (
        messaging.connect(stack.nats_url, "operator", operator) as one,
        messaging.connect(stack.nats_url, "operator", operator) as other,
    ):

        async def echo(message: Msg) -> None:
            await message.respond(message.data)

        await other.subscribe("bench.echo", cb=echo)
        await other.flush()
        await asyncio.gather(*(_echoes(one, result, time.perf_counter() + seconds) for _ in range(WORKERS)))
    result.seconds = seconds
    return result


async def _echoes(client: Client, result: BenchResult, end: float) -> None:
    while (started := time.perf_counter()) < end:
        try:
            await client.request("bench.echo", BODY, timeout=5)
        except nats.errors.Error:
            result.errors += 1
            continue
        result.latencies.append(time.perf_counter() - started)


async def bcrypt_limit(cost: int, seconds: float) -> BenchResult:
    """Password hashes on all cores."""
    result = BenchResult(f"bcrypt, cost {cost}, all cores")
    salt = bcrypt.gensalt(cost)
    end = time.perf_counter() + seconds

    def hashes() -> list[float]:
        took = []
        while (started := time.perf_counter()) < end:
            bcrypt.hashpw(b"correct horse", salt)
            took.append(time.perf_counter() - started)
        return took

    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        loop = asyncio.get_running_loop()
        for took in await asyncio.gather(*(loop.run_in_executor(pool, hashes) for _ in range(cores))):
            result.latencies += took
    result.seconds = seconds
    return result


async def _get(connection: Connection, _number: int) -> bool:
    status, _ = await connection.request("GET", "/")
    return status == web.HTTPOk.status_code


async def _serve() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=BODY, content_type="application/json")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201 - the port, for the process that started this one
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve())
