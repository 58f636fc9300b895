"""A shop of its own, and who sends it what is made up: one after the other, the administrator last."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiohttp

from infra.ops.devstack.stack_settings import Options
from tests.conftest import FREE_PORTS, QUICK
from tests.fuzz.callers import callers, furnish
from tests.fuzz.schemathesis import Effort, Outcome, fuzz
from tests.support.http import Http
from tests.support.uninstrumented import unmeasured

PATIENT = {**QUICK, "SOUK_LOGIN_FAILURES": "100000", "SOUK_LOGIN_FAILURES_OF_ADDRESS": "100000"}
"""Nobody is turned away for what he tries."""


async def everybody(
    effort: Effort, only: str = "", told: Callable[[Outcome], None] = lambda _outcome: None
) -> list[Outcome]:
    """What each found; `told` hears of it as soon as one is done."""
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="souk-fuzz-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        data = folder / "shop"
        options = Options(_env_file=None, data=data, nginx_limits=False, seed=False, process_env=PATIENT, **FREE_PORTS)
        async with unmeasured(options) as stack, aiohttp.ClientSession() as session:
            http = Http(session, stack.http_url)
            who = await callers(http, stack)
            await furnish(http, who[-1])
            chosen = [caller for caller in who if only in ("", caller.name)]
            share = replace(effort, seconds=effort.seconds // len(chosen))
            for each in chosen:
                found.append(await fuzz(stack.http_url, each, share, folder))
                told(found[-1])
    return found
