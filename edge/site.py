"""The documentation that the edge serves."""

from collections.abc import Callable, Mapping

from aiohttp import web


def documents() -> Mapping[str, Callable[[], web.Response]]:
    return {}
