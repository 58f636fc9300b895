"""Schemathesis as a process of its own, in the name of one caller.

It signs in by itself, and anew when its session ends, as some of what it sends ends sessions.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.callers import FuzzCaller

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
KEEP_ACCOUNT_CONFIG = """\
[[operations]]
include-name = "DELETE /api/v1/users/profile"
enabled = false
"""
"""Who is at work does not close his own account, or nothing after it would be tried. Nobody may try to."""
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
    """What one caller found; `report` is Schemathesis's own."""

    caller: FuzzCaller
    code: int
    report: str


async def run_schemathesis(url: str, caller: FuzzCaller, effort: FuzzBudget, folder: Path) -> FuzzResult:
    """Tries the document at `url`; what is wrong is in the report, with the request that shows it."""
    config = folder / f"{caller.name}.toml"
    config.write_text(_configuration(caller))
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", config, "run", f"{url}/openapi.json"]
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        *_arguments(url, effort),
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS), "SOUK_FUZZ_SELF": caller.id},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return FuzzResult(caller, process.returncode, said.decode(errors="replace"))


def _arguments(url: str, effort: FuzzBudget) -> list[str]:
    seed = [] if effort.seed is None else [f"--seed={effort.seed}"]
    return [
        f"--url={url}",
        f"--phases={','.join(effort.phases)}",
        f"--checks={','.join(CHECKS)}",
        f"--max-examples={effort.examples}",
        f"--max-time={effort.seconds}",
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
    if not caller.email:
        return COMMON_CONFIG
    return COMMON_CONFIG + LOGIN_CONFIG.format(email=caller.email, password=caller.password) + KEEP_ACCOUNT_CONFIG
