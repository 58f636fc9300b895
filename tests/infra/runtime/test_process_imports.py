"""A process loads nothing that it does not need: that costs CPU time at every start, and memory."""

import subprocess
import sys

import pytest

from contracts.registry import SERVICES
from tests.support.without_coverage import unmeasured_environment

UNUSED = ("aiohttp", "rich", "opentelemetry.sdk", "opentelemetry.exporter", "requests", "typer")
"""What libraries would import on their own, and what only an exporter of spans or the `souk` command needs."""


def loaded_modules(program: str) -> set[str]:
    show = f"import sys, {program}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", show], env=unmeasured_environment(), capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("program", [*(f"services.{name}.app" for name in SERVICES), "edge.app"])
def test_a_process_loads_only_what_it_needs(program: str) -> None:
    needed = {"aiohttp"} if program == "edge.app" else set()
    assert loaded_modules(program) & set(UNUSED) == needed


@pytest.mark.parametrize("module", ["services", "edge"])
def test_garbage_collection_pauses_only_while_a_program_loads(module: str) -> None:
    """It resumes in `prepare_process`; a process that only imports a part of a service collects as ever."""
    for arguments, is_enabled in (("-m", "False"), ("-c", "True")):
        show = f"import gc, sys; sys.argv[0] = {arguments!r}; import {module}; print(gc.isenabled())"
        done = subprocess.run(
            [sys.executable, "-c", show], env=unmeasured_environment(), capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == is_enabled


def test_garbage_collection_resumes_before_a_process_serves() -> None:
    program = """
import gc
from infra.foundation.settings import Settings
from infra.runtime.process_lifecycle import prepare_process

gc.disable()
prepare_process("order", Settings)
print(gc.isenabled(), gc.get_freeze_count() > 0)
"""
    variables = {"SOUK_NATS_PASSWORD": "a password", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
