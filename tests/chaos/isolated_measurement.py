"""Runs one measurement on a stack of its own, which is deleted afterwards."""

import logging
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

from infra.ops.devstack.stack_settings import StackSettings
from tests.conftest import FREE_PORTS

FAST_SETTINGS = {"SOUK_BCRYPT_COST": "4", "SOUK_LOG_LEVEL": "WARNING"}


def run_isolated(measure: Callable[[StackSettings], Coroutine[Any, Any, None]]) -> None:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="souk-measure-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        options = StackSettings(
            _env_file=None,
            data=folder / "shop",
            nginx_limits=False,
            seed=False,
            process_env=FAST_SETTINGS,
            **FREE_PORTS,
        )
        uvloop.run(measure(options))
