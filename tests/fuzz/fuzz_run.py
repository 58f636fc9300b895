"""A shop of its own, and who sends it what is made up: one after the other, the administrator last."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiohttp

from infra.ops.devstack.stack_settings import Options
from tests.conftest import FAST_SETTINGS, FREE_PORTS
from tests.fuzz.callers import create_callers, create_example_product
from tests.fuzz.schemathesis import FuzzBudget, FuzzResult, run_schemathesis
from tests.support.http import HttpClient
from tests.support.uninstrumented import uninstrumented_stack

UNTHROTTLED_SETTINGS = {**FAST_SETTINGS, "SOUK_LOGIN_FAILURES": "100000", "SOUK_LOGIN_FAILURES_OF_ADDRESS": "100000"}
"""Nobody is turned away for what he tries."""


async def fuzz_as_all_callers(
    effort: FuzzBudget, only: str = "", on_result: Callable[[FuzzResult], None] = lambda _outcome: None
) -> list[FuzzResult]:
    """What each found; `told` hears of it as soon as one is done."""
    found: list[FuzzResult] = []
    with tempfile.TemporaryDirectory(prefix="souk-fuzz-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        data = folder / "shop"
        options = Options(
            _env_file=None, data=data, nginx_limits=False, seed=False, process_env=UNTHROTTLED_SETTINGS, **FREE_PORTS
        )
        async with uninstrumented_stack(options) as stack, aiohttp.ClientSession() as session:
            http = HttpClient(session, stack.http_url)
            who = await create_callers(http, stack)
            await create_example_product(http, who[-1])
            chosen = [caller for caller in who if only in ("", caller.name)]
            share = replace(effort, seconds=effort.seconds // len(chosen))
            for each in chosen:
                found.append(await run_schemathesis(stack.http_url, each, share, folder))
                on_result(found[-1])
    return found
