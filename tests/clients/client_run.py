"""Starts a shop, generates the clients from its `/openapi.json`, and runs each client and an event reader."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from contracts.operation import OPERATOR
from infra.messaging import connection
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings
from tests.conftest import FAST_SETTINGS, FREE_PORTS
from tests.fuzz.callers import create_callers, create_example_product
from tests.support.http import HttpClient
from tests.support.without_coverage import uninstrumented_stack

FOLDER = Path(__file__).parent
GENERATED = FOLDER / "generated"
DOCUMENT = GENERATED / "openapi.json"
VENV = FOLDER / ".venv"
SKU = "LAMP-BRASS"
MAX_PYTHON_MODELS = 200
STEP_TIMEOUT_SECONDS = 600

Print = Callable[[str], None]


class ClientStepError(Exception):
    """A step of the run failed."""


async def run_all_clients(print_line: Print) -> None:
    """Runs every step. Raises ClientStepError at the first that fails."""
    await _install_tools(print_line)
    async with _shop_with_a_product() as stack:
        shutil.rmtree(GENERATED, ignore_errors=True)
        GENERATED.mkdir()
        async with aiohttp.ClientSession() as session, session.get(f"{stack.http_url}/openapi.json") as response:
            DOCUMENT.write_bytes(await response.read())
        await _lint(print_line)
        await _run_python_client(stack.http_url, print_line)
        await _run_typescript_clients(stack.http_url, print_line)
        await _run_event_reader(stack, print_line)


async def _install_tools(print_line: Print) -> None:
    """Installs the pinned generators; a second run finds them in place."""
    if shutil.which("npm") is None:
        raise ClientStepError("npm is missing: install Node.js 20.19 or newer")
    if not VENV.exists():
        await _run("create the Python environment", print_line, sys.executable, "-m", "venv", VENV)
    pip = (VENV / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes")
    await _run("install the Python generator", print_line, *pip, "-r", FOLDER / "requirements.txt")
    await _run("install the Node.js generators", print_line, "npm", "ci", "--omit=optional", "--loglevel=error")


@asynccontextmanager
async def _shop_with_a_product() -> AsyncIterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="souk-clients-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL runs as another user when this runs as root
        settings = StackSettings(
            _env_file=None, data=folder / "shop", seed=False, process_env=FAST_SETTINGS, **FREE_PORTS
        )
        async with uninstrumented_stack(settings) as stack, aiohttp.ClientSession() as session:
            http = HttpClient(session, stack.http_url)
            *_, admin = await create_callers(http, stack)
            await create_example_product(http, admin)
            yield stack


async def _lint(print_line: Print) -> None:
    redocly = ("npx", "redocly", "lint", DOCUMENT, "--config", "redocly.yaml", "--format=json")
    output = await _run("lint with Redocly", print_line, *redocly)
    if '"totals":{"errors":0,"warnings":0' not in "".join(output.split()):
        raise ClientStepError(f"Redocly reports problems:\n{output}")
    spectral = ("npx", "spectral", "lint", DOCUMENT, "--ruleset", ".spectral.yaml", "--fail-severity=hint")
    await _run("lint with Spectral", print_line, *spectral)


async def _run_python_client(url: str, print_line: Print) -> None:
    package = GENERATED / "souk_client"
    generator = VENV / "bin/openapi-python-client"
    options = ("--meta", "none", "--config", "openapi-python-client.yaml", "--fail-on-warning")
    generate = (generator, "generate", "--path", DOCUMENT, "--output-path", package, *options)
    await _run("generate with openapi-python-client", print_line, *generate)
    models = len(list((package / "models").glob("*.py")))
    if models >= MAX_PYTHON_MODELS:
        raise ClientStepError(f"the Python client has {models} model files; fewer than {MAX_PYTHON_MODELS} are allowed")
    print_line(f"   {models} model files")
    compile_all = (VENV / "bin/python", "-m", "compileall", "-q", package)
    await _run("compile the Python client, as its installation would", print_line, *compile_all)
    shop = ("env", f"PYTHONPATH={GENERATED}", VENV / "bin/python", "shop_with_python_client.py", url, SKU)
    print_line(f"   {(await _run('buy with the Python client', print_line, *shop)).strip()}")


async def _run_typescript_clients(url: str, print_line: Print) -> None:
    types = GENERATED / "openapi_typescript/schema.ts"
    await _run("generate with openapi-typescript", print_line, "npx", "openapi-typescript", DOCUMENT, "-o", types)
    await _run("generate with hey-api", print_line, "npx", "openapi-ts", "-f", "hey-api.config.ts")
    await _run("compile with tsc --strict", print_line, "npx", "tsc", "--strict", "-p", "tsconfig.json")
    for name in ("openapi_fetch", "hey_api"):
        script = GENERATED / f"js/shop_with_{name}.js"
        await _run(f"buy with {name}", print_line, "node", script, url, SKU)


async def _run_event_reader(stack: Stack, print_line: Print) -> None:
    """Reads the events of an order that one of the clients has paid, as a reader of its own."""
    souk = (sys.executable, "-m", "infra.ops.cli.app", "provision", "--data", stack.settings.data)
    environment = ("env", f"PYTHONPATH={FOLDER.parent.parent}")
    output = await _run("add an event reader", print_line, *environment, *souk, "--reader", "packing")
    url = output.rpartition(" at ")[2].strip()
    async with connection.connect(stack.nats_url, OPERATOR, stack.nats_password(OPERATOR)) as client:
        paid = await client.jetstream().get_last_msg("ORDER", "event.order.*.paid")
    order_id = str(paid.subject).split(".")[2]
    script = ("node", "read_events_with_nats_js.mjs", url, order_id)
    print_line(f"   {(await _run('read events with nats.js', print_line, *script)).strip()}")


async def _run(step: str, print_line: Print, *command: str | Path) -> str:
    """Runs a command in this folder and returns its output. Raises ClientStepError when it fails or takes too long."""
    print_line(f"== {step}")
    process = await asyncio.create_subprocess_exec(
        *command, cwd=FOLDER, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), STEP_TIMEOUT_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise ClientStepError(f"{step}: still running after {STEP_TIMEOUT_SECONDS} s") from None
    if process.returncode != 0:
        raise ClientStepError(f"{step}:\n{output.decode()}{errors.decode()}")
    return output.decode()
