"""`.env.example` lists every setting that people use, with its default, and nothing else."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from contracts.registry import SERVICES
from edge.settings import EdgeSettings
from infra.ops.cli.admin_client import AdminSettings
from infra.ops.devstack.nginx_config import NginxLimits, NginxSettings
from infra.ops.devstack.stack_settings import StackSettings

FILE = Path(__file__).parents[4] / ".env.example"
LISTED = dict(re.findall(r"^# (SOUK_[A-Z0-9_]+)=(\S*)", FILE.read_text(), re.MULTILINE))
GIVEN_BY_THE_STACK = {
    "SOUK_NATS_PASSWORD", "SOUK_DATABASE_URL", "SOUK_DATABASE_PASSWORD", "SOUK_MONGO_USER", "SOUK_MONGO_PASSWORD",
    "SOUK_MONGO_DATABASE", "SOUK_KEYS_SECRET", "SOUK_ACCESS_SECRET", "SOUK_GIFT_CARD_SECRET",
    "SOUK_EDGE_PROXY_SECRET", "SOUK_EDGE_HOST", "SOUK_OPS_HOST", "SOUK_CRASH_FOLDER",
}  # fmt: skip
"""Addresses and passwords that the local stack and docker-compose.yml determine, and the switch of fault tests."""
FOR_TESTS = {"parts", "services", "prepare", "processes_of", "process_env", "env_of", "crash_folder", "temporary"}


def variables(settings: type[BaseSettings]) -> dict[str, str]:
    """Returns the variables of a settings class with their defaults."""
    prefix = settings.model_config["env_prefix"]
    return {
        f"{prefix}{name}".upper(): str("" if field.is_required() or field.default_factory else field.get_default())
        for name, field in settings.model_fields.items()
    }


def service_settings() -> list[type[BaseSettings]]:
    return [import_module(f"services.{name}.app").SERVICE.settings for name in SERVICES]


KINDS = (StackSettings, AdminSettings, NginxLimits, NginxSettings, EdgeSettings, *service_settings())


@pytest.mark.parametrize("name", LISTED)
def test_every_listed_variable_is_a_setting_with_its_default(name: str) -> None:
    defaults = {normalised(kind[name]) for kind in map(variables, KINDS) if name in kind}
    assert normalised(LISTED[name]) in defaults


@pytest.mark.parametrize("kind", [NginxLimits, EdgeSettings, *service_settings()])
def test_every_setting_of_a_process_is_listed(kind: type[BaseSettings]) -> None:
    assert variables(kind).keys() - LISTED.keys() <= GIVEN_BY_THE_STACK


def normalised(default: str) -> str:
    """Returns a default as `.env` would have it: `10` for 10.0, `true` for True, and nothing for an empty list."""
    if default in {"None", "**********", "frozenset()"}:
        return ""
    return re.sub(r"\.0$", "", default).lower()


def test_settings_of_the_local_stack_are_listed_with_their_defaults() -> None:
    shown = {name: value.lower() for name, value in variables(StackSettings).items()}
    assert {f"SOUK_{name}".upper() for name in StackSettings.model_fields if name not in FOR_TESTS} <= set(LISTED)
    assert {name: value for name, value in LISTED.items() if name in shown} == {
        name: value for name, value in shown.items() if name in LISTED
    }
