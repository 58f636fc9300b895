"""The README's quickstart works exactly as printed."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from contracts.catalog import Product
from infra.ops.devstack.stack import Stack

README = Path(__file__).parents[2] / "README.md"
QUICKSTART_TIMEOUT_SECONDS = 60


async def test_the_quickstart_buys_something(stack: Stack, new_product: Callable[..., Awaitable[Product]]) -> None:
    await new_product(stock=10)
    [script] = re.findall(r"^```bash\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script,
        env={**os.environ, "SOUK_URL": stack.http_url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(shell.communicate(), QUICKSTART_TIMEOUT_SECONDS)
    assert shell.returncode == 0, output.decode()
    assert re.fullmatch(r"order [0-9a-f-]{36} is paid", output.decode().splitlines()[-1])
