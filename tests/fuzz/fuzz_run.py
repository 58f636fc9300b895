"""Fuzzes a new shop as one caller after another, the administrator last."""

from collections.abc import Callable
from dataclasses import replace

import aiohttp

from infra.ops.devstack.stack_settings import StackSettings
from tests.conftest import FAST_SETTINGS, FREE_PORTS
from tests.fuzz.callers import create_callers, create_example_product, create_guest
from tests.fuzz.schemathesis import FuzzBudget, FuzzResult, run_schemathesis
from tests.support.http import HttpClient
from tests.support.server_folders import server_folder
from tests.support.without_coverage import uninstrumented_stack

UNTHROTTLED_SETTINGS = {**FAST_SETTINGS, "SOUK_LOGIN_FAILURES": "100000", "SOUK_LOGIN_FAILURES_OF_ADDRESS": "100000"}
"""Settings under which no caller is throttled."""


async def fuzz_as_all_callers(
    budget: FuzzBudget, only: str = "", on_result: Callable[[FuzzResult], None] = lambda _result: None
) -> list[FuzzResult]:
    """Returns the findings of each caller; `on_result` gets each as soon as it is known."""
    results: list[FuzzResult] = []
    with server_folder() as folder:
        data = folder / "shop"
        options = StackSettings(
            _env_file=None, data=data, nginx_limits=False, seed=False, process_env=UNTHROTTLED_SETTINGS, **FREE_PORTS
        )
        async with uninstrumented_stack(options) as stack, aiohttp.ClientSession() as session:
            http = HttpClient(session, stack.http_url)
            callers = await create_callers(http, stack)
            await create_example_product(http, callers[-1])
            callers.insert(1, await create_guest(http))
            chosen = [caller for caller in callers if only in ("", caller.name)]
            share = replace(budget, seconds=budget.seconds // len(chosen))
            for caller in chosen:
                results.append(await run_schemathesis(stack.http_url, caller, share, folder))
                on_result(results[-1])
    return results
