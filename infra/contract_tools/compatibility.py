"""Finds changes in the contracts that would break existing clients, services and stored events.

A new request must accept all that the old one accepted. A new reply must keep all that the old one promised, and may
add to it. An event must do both: old events wait in streams for new consumers, and new events reach old consumers.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

LOWER_LIMITS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER_LIMITS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
EXACT_KEYWORDS = ("pattern", "format", "multipleOf", "uniqueItems")
ACCESS_RANK = {"service": 0, "admin": 1, "customer": 2, "anyone": 3}


def breaking_changes(old: Json, new: Json) -> list[str]:
    """Describes each breaking change; empty if the contracts have only grown."""
    return [*_operations(old, new), *_events(old, new)]


def _operations(old: Json, new: Json) -> Iterator[str]:
    for subject, before in old["operations"].items():
        after = new["operations"].get(subject)
        if after is None:
            yield f"{subject}: was removed"
            continue
        yield from _operation_rules(subject, before, after)
        request, reply = SchemaComparison(new, old), SchemaComparison(old, new, grows=True)
        yield from request.incompatibilities(after["request"], before["request"], f"{subject} request")
        yield from reply.incompatibilities(before["reply"], after["reply"], f"{subject} reply")


def _operation_rules(subject: str, before: Json, after: Json) -> Iterator[str]:
    if ACCESS_RANK[after["access"]] < ACCESS_RANK[before["access"]]:
        yield f"{subject}: access changed from {before['access']} to {after['access']}"
    for caller in sorted(set(before["callers"]) - set(after["callers"])):
        yield f"{subject}: {caller} may no longer call it"
    for code, status in before["failures"].items():
        if after["failures"].get(code, status) != status:
            yield f"{subject}: {code} changed from {status} to {after['failures'][code]}"


def _events(old: Json, new: Json) -> Iterator[str]:
    for name, before in old["events"].items():
        after = new["events"].get(name)
        if after is None:
            yield f"{name}: was removed"
            continue
        for part in ("subject", "key"):
            if before[part] != after[part]:
                yield f"{name}: its {part} changed from {before[part]} to {after[part]}"
        yield from SchemaComparison(new, old).incompatibilities(
            after["body"], before["body"], f"{name} (old event, new schema)"
        )
        yield from SchemaComparison(old, new, grows=True).incompatibilities(
            before["body"], after["body"], f"{name} (new event, old schema)"
        )


class SchemaComparison:
    """Finds values that `narrow` allows and `wide` does not. `grows` also accepts new fields and enum values."""

    def __init__(self, wide: Json, narrow: Json, *, grows: bool = False) -> None:
        self._wide = wide
        self._narrow = narrow
        self._grows = grows
        self._seen: set[tuple[str, str]] = set()

    def incompatibilities(self, wide: Json, narrow: Json, at: str) -> Iterator[str]:
        """Describes each part of `narrow` that `wide` does not accept; `at` is the path for the description."""
        pair = str(wide.get("$ref", "")), str(narrow.get("$ref", ""))
        if all(pair):
            if pair in self._seen:
                return
            self._seen.add(pair)
        wide, narrow = _resolve(self._wide, wide), _resolve(self._narrow, narrow)
        if "anyOf" in wide or "anyOf" in narrow:
            yield from self._alternatives(wide, narrow, at)
            return
        if _all_values_match(wide, narrow):
            return
        yield from self._limits(wide, narrow, at)
        yield from self._enum(wide, narrow, at)
        yield from self._object(wide, narrow, at)
        for part in ("items", "additionalProperties"):
            if isinstance(wide.get(part), Mapping) and isinstance(narrow.get(part), Mapping):
                yield from self.incompatibilities(wide[part], narrow[part], f"{at}/*")

    def _alternatives(self, wide: Json, narrow: Json, at: str) -> Iterator[str]:
        """Each alternative of `narrow` must fit one of `wide`."""
        choices = wide.get("anyOf", [wide])
        for one in narrow.get("anyOf", [narrow]):
            misfits = [
                list(SchemaComparison(self._wide, self._narrow, grows=self._grows).incompatibilities(c, one, at))
                for c in choices
            ]
            if all(misfits):
                yield min(misfits, key=len)[0] if len(misfits) == 1 else f"{at}: {_named(one)} is not allowed"

    def _limits(self, wide: Json, narrow: Json, at: str) -> Iterator[str]:
        if (
            "type" in wide
            and wide["type"] != narrow.get("type")
            and (wide["type"], narrow.get("type")) != ("number", "integer")
        ):
            yield f"{at}: {narrow.get('type', 'anything')} where {wide['type']} is expected"
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
        allowed, given = _values(wide), _values(narrow)
        if allowed is None:
            return
        if given is None:
            yield f"{at}: any value where only some are allowed"
            return
        for value in given:
            if value not in allowed and not self._grows:
                yield f"{at}: {value!r} is not allowed"

    def _object(self, wide: Json, narrow: Json, at: str) -> Iterator[str]:
        known, given = wide.get("properties", {}), narrow.get("properties", {})
        for name in sorted(set(wide.get("required", ())) - set(narrow.get("required", ()))):
            yield f"{at}/{name}: is required and not always present"
        if self._grows:
            yield from (f"{at}/{name}: was removed" for name in known if name not in given)
        for name, field in given.items():
            if name in known:
                yield from self.incompatibilities(known[name], field, f"{at}/{name}")
            elif wide.get("additionalProperties") is False and not self._grows:
                yield f"{at}/{name}: is unknown"


def _all_values_match(wide: Json, narrow: Json) -> bool:
    """Whether `narrow` lists texts and `wide` is a pattern, and perhaps lengths, that all of them match."""
    values, others = _values(narrow), wide.keys() - {"type", "pattern", "minLength", "maxLength"}
    if values is None or "pattern" not in wide or others & {*EXACT_KEYWORDS, "enum", "const"}:
        return False
    low, high = wide.get("minLength", 0), wide.get("maxLength", float("inf"))
    return all(
        isinstance(value, str) and low <= len(value) <= high and re.search(wide["pattern"], value) for value in values
    )


def _resolve(document: Json, schema: Json) -> Json:
    while "$ref" in schema:
        *_, group, name = schema["$ref"].split("/")
        schema = document["schemas"][group][name]
    return schema


def _named(schema: Json) -> str:
    return str(schema.get("$ref", schema.get("type", "a value"))).rpartition("/")[2]


def _values(schema: Json) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")
