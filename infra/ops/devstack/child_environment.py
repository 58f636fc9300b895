"""The environments of child processes: a list of what each may have, instead of all that `souk up` was started with.

A process shows its environment to every process of the same user. So a server gets no setting of Souk, and a service
or edge gets only the settings that it reads itself.
"""

import os
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType

from contracts.operation import EDGE
from edge.settings import EdgeSettings
from infra.foundation.settings import INTERNAL_SECRETS, Settings
from services.cart.settings import CartSettings
from services.catalog.settings import CatalogSettings
from services.notification.settings import NotificationSettings
from services.order.settings import OrderSettings
from services.payment.settings import PaymentSettings
from services.user.settings import UserSettings

SYSTEM_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
PYTHON_VARIABLES = ("PYTHON*", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR", "COVERAGE_*", "OTEL_*")
INSTALLER_VARIABLES = ("PIP_*", "UV*", "*_proxy", "*_PROXY", "XDG_*", "SSL_CERT_FILE", "SSL_CERT_DIR")

PROCESS_SETTINGS: Mapping[str, type[Settings]] = MappingProxyType(
    {
        "user": UserSettings,
        "catalog": CatalogSettings,
        "cart": CartSettings,
        "order": OrderSettings,
        "payment": PaymentSettings,
        "notification": NotificationSettings,
        EDGE: EdgeSettings,
    }
)


def server_environment() -> dict[str, str]:
    """Returns what a server needs: where programs and libraries are, the language and the time zone."""
    return _select(os.environ, SYSTEM_VARIABLES)


def python_environment() -> dict[str, str]:
    """Returns what a Python program without settings needs."""
    return _select(os.environ, (*SYSTEM_VARIABLES, *PYTHON_VARIABLES))


def installer_environment() -> dict[str, str]:
    """Returns what pip or uv needs to reach its package index."""
    return _select(os.environ, (*SYSTEM_VARIABLES, *PYTHON_VARIABLES, *INSTALLER_VARIABLES))


def service_environment(user: str, given: Mapping[str, str]) -> dict[str, str]:
    """Returns what a service, or `edge`, needs: for Python, and those of its own settings that are set.

    `given` are variables for all services; they come before the environment. The passwords between the processes of
    Souk are never taken from either, since the stack writes them to files.
    """
    return {**python_environment(), **own_settings(user, os.environ), **own_settings(user, given), **_others(given)}


def own_settings(user: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that are settings of a service, or of `edge`."""
    known = _setting_variables(user)
    return {name: value for name, value in variables.items() if name.upper() in known}


@cache
def _setting_variables(user: str) -> frozenset[str]:
    fields = PROCESS_SETTINGS[user].model_fields.keys() - INTERNAL_SECRETS - {"edge_proxy_secret"}
    return frozenset(f"SOUK_{name}".upper() for name in fields)


def _others(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if not name.upper().startswith("SOUK_")}


def _select(variables: Mapping[str, str], allowed: Iterable[str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if any(_matches(name, one) for one in allowed)}


def _matches(name: str, pattern: str) -> bool:
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return name.endswith(pattern[1:]) if pattern.startswith("*") else name == pattern
