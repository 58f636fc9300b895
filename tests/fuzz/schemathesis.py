"""Runs Schemathesis as a process, in the name of one caller.

Schemathesis logs in by itself, and again when its session ends, because some generated requests end sessions.
"""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.callers import FuzzCaller
from tests.support.without_coverage import unmeasured_environment

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "ignored_auth",
    "use_after_free",
)
CHECKS_OF_GUEST = tuple(check for check in CHECKS if check != "ignored_auth")
"""A wrong token gets 404, like an order that does not exist, and not the 401 that this check wants."""
COMMON_CONFIG = """\
[auth]
auto-signup = false
[checks.negative_data_rejection]
expected-statuses = ["4xx"]
"""
LOGIN_CONFIG = """\
[auth.dynamic.openapi.bearer]
path = "/api/v1/auth/login"
payload = {{ email = "{email}", password = "{password}" }}
extract_selector = "/access_token"
retry_on = [401]
"""
GUEST_CONFIG = """\
[auth.openapi.order_access]
api_key = "{order_token}"
"""
KEEP_ACCOUNT_CONFIG = """\
[[operations]]
include-name = "DELETE /api/v1/users/profile"
enabled = false
"""
"""A caller does not close its own account, which would end the run; an anonymous caller may try."""
HOOKS = Path(__file__).with_name("hooks.py")
PHASES = ("examples", "coverage", "fuzzing", "stateful")


@dataclass(frozen=True)
class FuzzBudget:
    """How much is tried."""

    seconds: int
    examples: int
    phases: tuple[str, ...] = PHASES
    seed: int | None = None


@dataclass(frozen=True)
class FuzzResult:
    """The findings of one caller; `report` is Schemathesis's own."""

    caller: FuzzCaller
    code: int
    report: str


async def run_schemathesis(url: str, caller: FuzzCaller, budget: FuzzBudget, folder: Path) -> FuzzResult:
    """Tries the document at `url`; the report has each finding with the request that shows it."""
    config = folder / f"{caller.name}.toml"
    config.write_text(_configuration(caller))
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", config, "run", f"{url}/openapi.json"]
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        *_arguments(url, budget, CHECKS_OF_GUEST if caller.order_token else CHECKS),
        cwd=folder,
        env={
            **unmeasured_environment(),
            "SCHEMATHESIS_HOOKS": str(HOOKS),
            "SOUK_FUZZ_SELF": caller.id,
            "SOUK_FUZZ_ORDER": caller.order_id,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return FuzzResult(caller, process.returncode, output.decode(errors="replace"))


def _arguments(url: str, budget: FuzzBudget, checks: tuple[str, ...]) -> list[str]:
    seed = [] if budget.seed is None else [f"--seed={budget.seed}"]
    return [
        f"--url={url}",
        f"--phases={','.join(budget.phases)}",
        f"--checks={','.join(checks)}",
        f"--max-examples={budget.examples}",
        f"--max-time={budget.seconds}",
        "--continue-on-failure",
        "--request-timeout=20",
        "--max-redirects=0",
        "--generation-database=none",
        "--suppress-health-check=all",
        "--warnings=off",
        "--no-color",
        *seed,
    ]


def _configuration(caller: FuzzCaller) -> str:
    if caller.order_token:
        return COMMON_CONFIG + GUEST_CONFIG.format(order_token=caller.order_token)
    if not caller.email:
        return COMMON_CONFIG
    return COMMON_CONFIG + LOGIN_CONFIG.format(email=caller.email, password=caller.password) + KEEP_ACCOUNT_CONFIG
