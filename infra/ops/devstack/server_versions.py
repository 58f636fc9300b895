"""The oldest server versions that Souk runs on, and the check of a server that is not the pinned one."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from infra.ops.devstack.errors import StackError

Version = tuple[int, int, int]

UNKNOWN_VERSION: Version = (0, 0, 0)
MINIMUM_VERSIONS: Mapping[str, Version] = MappingProxyType(
    {
        "nats-server": (2, 12, 0),
        "postgres": (15, 0, 0),
        "mongod": (6, 0, 0),
        "nginx": (1, 25, 1),  # the directive `http2 on`
    }
)
PRODUCT_NAMES: Mapping[str, str] = MappingProxyType(
    {"nats-server": "NATS", "postgres": "PostgreSQL", "mongod": "MongoDB", "nginx": "Nginx"}
)
_VERSION = re.compile(r"(?<![\w.])v?(\d+)(?:\.(\d+))?(?:\.(\d+))?")


def parse_version(text: str) -> Version:
    """Returns the first version in a text such as `nginx version: nginx/1.31.3`, or `UNKNOWN_VERSION`."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2] or 0), int(found[3] or 0)) if found else UNKNOWN_VERSION


def describe_version(version: Version) -> str:
    """Returns the version as people write it: `18.4`, or `1.25.1` where there is a third part."""
    return ".".join(map(str, version if version[2] else version[:2]))


def require_version(server: str, version: Version, place: str, remedy: str) -> None:
    """Refuses a server older than the minimum. `place` says where it was found, `remedy` what else can be done."""
    minimum = MINIMUM_VERSIONS[server]
    if version >= minimum:
        return
    product, needed = PRODUCT_NAMES[server], describe_version(minimum)
    found = "does not say its version" if version == UNKNOWN_VERSION else f"is version {describe_version(version)}"
    raise StackError(
        f"{place} {found}, but Souk needs {product} {needed} or newer. "
        f"Install {product} {needed} or newer, or {remedy}."
    )
