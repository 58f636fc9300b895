"""Finds what answers at a path. Fixed paths are one look-up; of those with parameters only the few with the same
first words are tried.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote

HandlerT = TypeVar("HandlerT")

PATH_PARAMETER = re.compile(r"{(\w+)}")
SLASH_PARAMETERS = frozenset({"sku"})
"""Parameters that may hold slashes, plain or escaped."""


@dataclass(frozen=True, slots=True)
class RouteMatch(Generic[HandlerT]):
    """What answers, and the parameters in the path."""

    handler: HandlerT
    path_params: dict[str, str]


@dataclass(frozen=True, slots=True)
class NoRouteMatch:
    """Nothing answers this method there; `allowed` do, if any."""

    allowed_methods: tuple[str, ...]


class Router(Generic[HandlerT]):
    """Paths are given as `/orders/{id}`."""

    def __init__(self, entries: Iterable[tuple[str, str, HandlerT]]) -> None:
        self._fixed: dict[str, dict[str, HandlerT]] = {}
        self._varied: dict[str, dict[re.Pattern[str], dict[str, HandlerT]]] = {}
        for method, path, end in sorted(entries, key=_most_particular_first):
            if "{" in path:
                same = self._varied.setdefault(_first_words(path), {})
                same.setdefault(_compiled(path), {})[method] = end
            else:
                self._fixed.setdefault(path, {})[method] = end

    def match(self, method: str, raw_path: str) -> RouteMatch[HandlerT] | NoRouteMatch:
        """HEAD is answered by what answers GET."""
        path = _unquoted(raw_path) if "%" in raw_path else raw_path
        wanted = "GET" if method == "HEAD" else method
        allowed: set[str] = set()
        for ends, params in self._at(path, wanted):
            if wanted in ends:
                return RouteMatch(ends[wanted], params)
            allowed.update(ends)
        if "GET" in allowed:
            allowed.add("HEAD")
        return NoRouteMatch(tuple(sorted(allowed)))

    def _at(self, path: str, wanted: str) -> Iterator[tuple[dict[str, HandlerT], dict[str, str]]]:
        """A fixed path is nothing's id. Only what is read may have its word for a name: a product called `import`."""
        if path in self._fixed:
            yield self._fixed[path], {}
            if wanted != "GET":
                return
        for pattern, ends in self._varied.get(_first_words(path), {}).items():
            if match := pattern.fullmatch(path):
                yield ends, match.groupdict()


def _most_particular_first(entry: tuple[str, str, object]) -> int:
    """`/inventory/{sku}/adjustments` before `/inventory/{sku}`, whose parameter would swallow the rest."""
    return -len(PATH_PARAMETER.sub("", entry[1]))


def _first_words(path: str) -> str:
    """`orders` of `/api/v1/orders/{id}`, and `images` of `/images/{id}`."""
    words = path.split("/", 4)
    return words[3] if len(words) > 3 and words[1] == "api" else "".join(words[1:2])  # noqa: PLR2004


def _compiled(path: str) -> re.Pattern[str]:
    pieces = PATH_PARAMETER.split(path)
    return re.compile("".join(_group(piece) if n % 2 else re.escape(piece) for n, piece in enumerate(pieces)))


def _group(name: str) -> str:
    return f"(?P<{name}>{'.+' if name in SLASH_PARAMETERS else '[^/]+'})"


def _unquoted(target: str) -> str:
    """A path that is not UTF-8 is no path of ours: it meets nothing."""
    try:
        return unquote(target, errors="strict")
    except UnicodeDecodeError:
        return ""
