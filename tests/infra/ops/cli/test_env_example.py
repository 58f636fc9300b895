"""`.env.example` lists existing settings with their defaults, and every setting of the local stack that people use."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from contracts.registry import SERVICES
from edge.settings import EdgeSettings
from infra.ops.cli.admin_account import AdminSettings
from infra.ops.devstack.nginx_config import NginxLimits
from infra.ops.devstack.stack_settings import StackSettings

FILE = Path(__file__).parents[4] / ".env.example"
LISTED = dict(re.findall(r"^# (SOUK_[A-Z_]+)=(\S*)", FILE.read_text(), re.MULTILINE))
FOR_TESTS = {"parts", "services", "prepare", "processes_of", "process_env", "env_of", "crash_folder", "temporary"}


def variables(settings: type[BaseSettings]) -> dict[str, str]:
    """Returns the variables of a settings class with their defaults."""
    prefix = settings.model_config["env_prefix"]
    return {
        f"{prefix}{name}".upper(): str("" if field.is_required() else field.get_default(call_default_factory=True))
        for name, field in settings.model_fields.items()
    }


def service_settings() -> list[type[BaseSettings]]:
    return [import_module(f"services.{name}.app").SERVICE.settings for name in SERVICES]


@pytest.mark.parametrize("name", LISTED)
def test_every_listed_variable_is_a_setting(name: str) -> None:
    known = [variables(one) for one in (StackSettings, AdminSettings, NginxLimits, EdgeSettings, *service_settings())]
    assert any(name in one for one in known)


def test_settings_of_the_local_stack_are_listed_with_their_defaults() -> None:
    shown = {name: value.lower() for name, value in variables(StackSettings).items()}
    assert {f"SOUK_{name}".upper() for name in StackSettings.model_fields if name not in FOR_TESTS} <= set(LISTED)
    assert {name: value for name, value in LISTED.items() if name in shown} == {
        name: value for name, value in shown.items() if name in LISTED
    }
