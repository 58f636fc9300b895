"""What of a new published language would break those who speak the old one.

A new request has to take whatever an old one took. A new reply has to give whatever an old one promised; it may give
more. An event has to do both: old ones wait in streams for new consumers, and new ones meet old consumers.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

LOWER_LIMITS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER_LIMITS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
EXACT_KEYWORDS = ("pattern", "format", "multipleOf", "uniqueItems")
ACCESS_RANK = {"service": 0, "admin": 1, "customer": 2, "anyone": 3}


def breaking_changes(old: Json, new: Json) -> list[str]:
    """The changes that break, in words; empty where the new only grew."""
    return [*_operations(old, new), *_events(old, new)]


def _operations(old: Json, new: Json) -> Iterator[str]:
    for subject, before in old["operations"].items():
        after = new["operations"].get(subject)
        if after is None:
            yield f"{subject}: is gone"
            continue
        yield from _promises(subject, before, after)
        request, reply = SchemaComparison(new, old), SchemaComparison(old, new, grows=True)
        yield from request.incompatibilities(after["request"], before["request"], f"{subject} request")
        yield from reply.incompatibilities(before["reply"], after["reply"], f"{subject} reply")


def _promises(subject: str, before: Json, after: Json) -> Iterator[str]:
    if ACCESS_RANK[after["access"]] < ACCESS_RANK[before["access"]]:
        yield f"{subject}: access went from {before['access']} to {after['access']}"
    for caller in sorted(set(before["callers"]) - set(after["callers"])):
        yield f"{subject}: {caller} may not ask any more"
    for code, status in before["failures"].items():
        if after["failures"].get(code, status) != status:
            yield f"{subject}: {code} went from {status} to {after['failures'][code]}"


def _events(old: Json, new: Json) -> Iterator[str]:
    for name, before in old["events"].items():
        after = new["events"].get(name)
        if after is None:
            yield f"{name}: is gone"
            continue
        for part in ("subject", "key"):
            if before[part] != after[part]:
                yield f"{name}: its {part} went from {before[part]} to {after[part]}"
        yield from SchemaComparison(new, old).incompatibilities(after["body"], before["body"], f"{name} of before")
        yield from SchemaComparison(old, new, grows=True).incompatibilities(
            before["body"], after["body"], f"{name} of now"
        )


class SchemaComparison:
    """Looks for what fits `narrow` and not `wide`. With `grows`, more fields and more enum values are no misfit."""

    def __init__(self, wide: Json, narrow: Json, *, grows: bool = False) -> None:
        self._wide = wide
        self._narrow = narrow
        self._grows = grows
        self._seen: set[tuple[str, str]] = set()

    def incompatibilities(self, wide: Json, narrow: Json, at: str) -> Iterator[str]:
        pair = str(wide.get("$ref", "")), str(narrow.get("$ref", ""))
        if all(pair):
            if pair in self._seen:
                return
            self._seen.add(pair)
        wide, narrow = _followed(self._wide, wide), _followed(self._narrow, narrow)
        if "anyOf" in wide or "anyOf" in narrow:
            yield from self._alternatives(wide, narrow, at)
            return
        yield from self._limits(wide, narrow, at)
        yield from self._enum(wide, narrow, at)
        yield from self._object(wide, narrow, at)
        for part in ("items", "additionalProperties"):
            if isinstance(wide.get(part), Mapping) and isinstance(narrow.get(part), Mapping):
                yield from self.incompatibilities(wide[part], narrow[part], f"{at}/*")

    def _alternatives(self, wide: Json, narrow: Json, at: str) -> Iterator[str]:
        """Each alternative has to fit one of the others."""
        choices = wide.get("anyOf", [wide])
        for one in narrow.get("anyOf", [narrow]):
            found = [
                list(SchemaComparison(self._wide, self._narrow, grows=self._grows).incompatibilities(c, one, at))
                for c in choices
            ]
            if all(found):
                yield min(found, key=len)[0] if len(found) == 1 else f"{at}: {_named(one)} does not fit"

    def _limits(self, wide: Json, narrow: Json, at: str) -> Iterator[str]:
        if (
            "type" in wide
            and wide["type"] != narrow.get("type")
            and (wide["type"], narrow.get("type")) != ("number", "integer")
        ):
            yield f"{at}: {narrow.get('type', 'anything')} where {wide['type']} fits"
        for limit in LOWER_LIMITS:
            if limit in wide and narrow.get(limit, float("-inf")) < wide[limit]:
                yield f"{at}: {limit} is {wide[limit]} against {narrow.get(limit, 'none')}"
        for limit in UPPER_LIMITS:
            if limit in wide and narrow.get(limit, float("inf")) > wide[limit]:
                yield f"{at}: {limit} is {wide[limit]} against {narrow.get(limit, 'none')}"
        for limit in EXACT_KEYWORDS:
            if limit in wide and wide[limit] != narrow.get(limit):
                yield f"{at}: {limit} is {wide[limit]} against {narrow.get(limit, 'none')}"

    def _enum(self, wide: Json, narrow: Json, at: str) -> Iterator[str]:
        fitting, given = _values(wide), _values(narrow)
        if fitting is None:
            return
        if given is None:
            yield f"{at}: any value where only some fit"
            return
        for value in given:
            if value not in fitting and not self._grows:
                yield f"{at}: {value!r} does not fit"

    def _object(self, wide: Json, narrow: Json, at: str) -> Iterator[str]:
        known, given = wide.get("properties", {}), narrow.get("properties", {})
        for name in sorted(set(wide.get("required", ())) - set(narrow.get("required", ()))):
            yield f"{at}/{name}: is required and not always there"
        if self._grows:
            yield from (f"{at}/{name}: is gone" for name in known if name not in given)
        for name, field in given.items():
            if name in known:
                yield from self.incompatibilities(known[name], field, f"{at}/{name}")
            elif wide.get("additionalProperties") is False and not self._grows:
                yield f"{at}/{name}: is not known"


def _followed(document: Json, schema: Json) -> Json:
    while "$ref" in schema:
        *_, group, name = schema["$ref"].split("/")
        schema = document["schemas"][group][name]
    return schema


def _named(schema: Json) -> str:
    return str(schema.get("$ref", schema.get("type", "a value"))).rpartition("/")[2]


def _values(schema: Json) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")
