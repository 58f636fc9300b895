"""Finds the handler of a path. A fixed path is one dictionary look-up. Of the paths with parameters, only those of the
same resource (`orders`) are tried. Why this is not aiohttp's: `docs/decisions/0009-own-router-and-server.md`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar
from urllib.parse import unquote

HandlerT = TypeVar("HandlerT")

NO_ROUTE_DETAIL = "There is no route at this path. The routes are listed at /docs."
PATH_PARAMETER = re.compile(r"{(\w+)}")
MAX_REMEMBERED_PATHS, MAX_SHORT_PATH = 4096, 256
"""Paths whose handler is remembered, and their length: the paths of a shop are short, and most are requested again."""
SLASH_PARAMETERS = frozenset({"sku"})
"""Parameters whose values may contain slashes, plain or escaped."""


@dataclass(frozen=True, slots=True)
class RouteMatch(Generic[HandlerT]):
    """The handler of a request, and the parameters in its path."""

    handler: HandlerT
    path_params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NoRouteMatch:
    """No handler for this method. `allowed_methods` are the path's methods, empty for an unknown path."""

    allowed_methods: tuple[str, ...]


class Router(Generic[HandlerT]):
    """A table of method, path (`/orders/{id}`) and handler."""

    def __init__(self, entries: Iterable[tuple[str, str, HandlerT]]) -> None:
        self._match_short = lru_cache(MAX_REMEMBERED_PATHS)(self._match)
        self._fixed: dict[str, dict[str, HandlerT]] = {}
        self._patterns: dict[str, dict[re.Pattern[str], dict[str, HandlerT]]] = {}
        for method, path, handler in sorted(entries, key=_most_specific_first):
            if "{" in path:
                of_resource = self._patterns.setdefault(_resource(path), {})
                of_resource.setdefault(_compile(path), {})[method] = handler
            else:
                self._fixed.setdefault(path, {})[method] = handler

    def match(self, method: str, raw_path: str) -> RouteMatch[HandlerT] | NoRouteMatch:
        """Returns the handler of a percent-encoded path. The handler of GET answers HEAD too."""
        return self._match_short(method, raw_path) if len(raw_path) <= MAX_SHORT_PATH else self._match(method, raw_path)

    def _match(self, method: str, raw_path: str) -> RouteMatch[HandlerT] | NoRouteMatch:
        path = _decode(raw_path) if "%" in raw_path else raw_path
        wanted = "GET" if method == "HEAD" else method
        allowed: set[str] = set()
        for handlers, path_params in self._candidates(path, wanted):
            if wanted in handlers:
                return RouteMatch(handlers[wanted], path_params)
            allowed.update(handlers)
        if "GET" in allowed:
            allowed.add("HEAD")
        return NoRouteMatch(tuple(sorted(allowed)))

    def _candidates(self, path: str, method: str) -> Iterator[tuple[dict[str, HandlerT], dict[str, str]]]:
        """Yields the handlers by method of each path that matches. The last word of a fixed path is never an id, so
        writes stop there. A read goes on, because it may be a name: a product can be called `import`.
        """
        if path in self._fixed:
            yield self._fixed[path], {}
            if method != "GET":
                return
        for pattern, handlers in self._patterns.get(_resource(path), {}).items():
            if match := pattern.fullmatch(path):
                yield handlers, match.groupdict()


def _most_specific_first(entry: tuple[str, str, object]) -> int:
    """Puts `/inventory/{sku}/adjustments` before `/inventory/{sku}`, whose parameter would match the rest."""
    return -len(PATH_PARAMETER.sub("", entry[1]))


def _resource(path: str) -> str:
    """Returns `orders` for `/api/v1/orders/{id}`, and `images` for `/images/{id}`."""
    words = path.split("/", 4)
    return words[3] if len(words) > 3 and words[1] == "api" else "".join(words[1:2])  # noqa: PLR2004


def _compile(path: str) -> re.Pattern[str]:
    parts = PATH_PARAMETER.split(path)
    return re.compile("".join(_group(part) if n % 2 else re.escape(part) for n, part in enumerate(parts)))


def _group(name: str) -> str:
    return f"(?P<{name}>{'.+' if name in SLASH_PARAMETERS else '[^/]+'})"


def _decode(raw_path: str) -> str:
    """Decodes a path. One that is not UTF-8 becomes empty, which matches no route."""
    try:
        return unquote(raw_path, errors="strict")
    except UnicodeDecodeError:
        return ""
