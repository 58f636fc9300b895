"""Finds what answers at a path. Fixed paths are one look-up; of those with parameters only the few with the same
first words are tried.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote

EndT = TypeVar("EndT")

PARAMETER = re.compile(r"{(\w+)}")
WITH_SLASHES = frozenset({"sku"})
"""Parameters that may hold slashes, plain or escaped."""


@dataclass(frozen=True, slots=True)
class Found(Generic[EndT]):
    """What answers, and the parameters in the path."""

    end: EndT
    params: dict[str, str]


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing answers this method there; `allowed` do, if any."""

    allowed: tuple[str, ...]


class Router(Generic[EndT]):
    """Paths are given as `/orders/{id}`."""

    def __init__(self, entries: Iterable[tuple[str, str, EndT]]) -> None:
        self._fixed: dict[str, dict[str, EndT]] = {}
        self._varied: dict[str, dict[re.Pattern[str], dict[str, EndT]]] = {}
        for method, path, end in sorted(entries, key=_most_particular_first):
            if "{" in path:
                same = self._varied.setdefault(_first_words(path), {})
                same.setdefault(_compiled(path), {})[method] = end
            else:
                self._fixed.setdefault(path, {})[method] = end

    def find(self, method: str, target: str) -> Found[EndT] | Refused:
        """HEAD is answered by what answers GET."""
        path = _unquoted(target) if "%" in target else target
        wanted = "GET" if method == "HEAD" else method
        allowed: set[str] = set()
        for ends, params in self._at(path, wanted):
            if wanted in ends:
                return Found(ends[wanted], params)
            allowed.update(ends)
        if "GET" in allowed:
            allowed.add("HEAD")
        return Refused(tuple(sorted(allowed)))

    def _at(self, path: str, wanted: str) -> Iterator[tuple[dict[str, EndT], dict[str, str]]]:
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
    return -len(PARAMETER.sub("", entry[1]))


def _first_words(path: str) -> str:
    """`orders` of `/api/v1/orders/{id}`, and `images` of `/images/{id}`."""
    words = path.split("/", 4)
    return words[3] if len(words) > 3 and words[1] == "api" else "".join(words[1:2])  # noqa: PLR2004


def _compiled(path: str) -> re.Pattern[str]:
    pieces = PARAMETER.split(path)
    return re.compile("".join(_group(piece) if n % 2 else re.escape(piece) for n, piece in enumerate(pieces)))


def _group(name: str) -> str:
    return f"(?P<{name}>{'.+' if name in WITH_SLASHES else '[^/]+'})"


def _unquoted(target: str) -> str:
    """A path that is not UTF-8 is no path of ours: it meets nothing."""
    try:
        return unquote(target, errors="strict")
    except UnicodeDecodeError:
        return ""
