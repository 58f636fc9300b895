"""Compatibility of contracts: which changes break callers or subscribers, and which are additions."""

from copy import deepcopy
from enum import StrEnum
from typing import Annotated, Any

import orjson
import pytest
from pydantic import Field

from contracts.event import Event
from contracts.model import Id, Model, SingleLine
from infra.contract_tools.compatibility import breaking_changes
from infra.contract_tools.snapshot import contract_snapshot, model_schemas
from infra.ops.cli.docs import REPOSITORY, SNAPSHOT


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(Model):
    sku: SingleLine
    count: Annotated[int, Field(ge=1, le=10)] = 1


class PartsRequest(Model):
    parts: Annotated[list[Part], Field(min_length=1, max_length=5)]
    colour: Colour = Colour.RED
    note: SingleLine | None = None


class PartsReply(Model):
    id: Id
    colour: Colour
    parts: list[Part]
    note: SingleLine | None = None


class PartsMade(Event, service="order", name="tried_in_a_test", key="order_id"):
    order_id: Id
    colour: Colour
    parts: list[Part]


def published_language() -> dict[str, Any]:
    """Returns a small snapshot in the form of the real one."""
    requests, request_schemas = model_schemas([PartsRequest], "validation", "requests")
    replies, reply_schemas = model_schemas([PartsReply], "serialization", "replies")
    events, event_schemas = model_schemas([PartsMade], "validation", "events")
    operation = {
        "request": requests[PartsRequest],
        "reply": replies[PartsReply],
        "failures": {"sold_out": 409},
        "access": "customer",
        "callers": ["edge"],
        "writes": True,
    }
    event = {"subject": "event.order.*.made", "key": "order_id", "body": events[PartsMade]}
    return {
        "operations": {"rpc.order.make": operation},
        "events": {"souk.order.made": event},
        "schemas": {"requests": request_schemas, "replies": reply_schemas, "events": event_schemas},
    }


Steps = tuple[str, ...]
"""The keys that lead to a place in the snapshot."""
REQUEST: Steps = ("schemas", "requests", "PartsRequest")
REPLY: Steps = ("schemas", "replies", "PartsReply")
EVENT: Steps = ("schemas", "events", "PartsMade")
REQUEST_PART: Steps = ("schemas", "requests", "Part")
OPERATION: Steps = ("operations", "rpc.order.make")
EVENT_ENTRY: Steps = ("events", "souk.order.made")
REMOVED = object()


def changed(steps: Steps, value: object) -> dict[str, Any]:
    """Returns the snapshot with one value replaced or removed."""
    new = deepcopy(published_language())
    place: Any = new
    for step in steps[:-1]:
        place = place[step]
    if value is REMOVED:
        del place[steps[-1]]
    else:
        place[steps[-1]] = value
    return new


TEXT = {"type": "string"}
BREAKING: list[tuple[Steps, object]] = [
    (OPERATION, REMOVED),
    (EVENT_ENTRY, REMOVED),
    ((*OPERATION, "access"), "admin"),
    ((*OPERATION, "callers"), []),
    ((*OPERATION, "failures", "sold_out"), 410),
    ((*EVENT_ENTRY, "subject"), "event.order.*.built"),
    ((*EVENT_ENTRY, "key"), "id"),
    ((*REQUEST, "required"), ["parts", "colour"]),
    ((*REQUEST, "properties", "note"), REMOVED),
    ((*REQUEST, "properties", "note"), TEXT),
    ((*REQUEST, "properties", "parts", "maxItems"), 4),
    ((*REQUEST, "properties", "parts", "minItems"), 2),
    ((*REQUEST, "properties", "parts", "items"), TEXT),
    ((*REQUEST_PART, "properties", "count", "type"), "string"),
    ((*REQUEST_PART, "properties", "count", "maximum"), 9),
    ((*REQUEST_PART, "properties", "count", "minimum"), 2),
    ((*REQUEST_PART, "properties", "sku", "pattern"), "^a$"),
    ((*REQUEST_PART, "properties", "sku", "maxLength"), 254),
    (("schemas", "requests", "Colour", "enum"), ["red"]),
    ((*REPLY, "properties", "id"), REMOVED),
    ((*REPLY, "required"), ["id", "colour"]),
    ((*REPLY, "properties", "id", "format"), "date"),
    ((*REPLY, "properties", "id", "type"), "integer"),
    ((*REPLY, "properties", "parts", "items"), TEXT),
    ((*EVENT, "required"), ["order_id", "colour", "parts", "more"]),
    ((*EVENT, "required"), ["order_id", "colour"]),
    ((*EVENT, "properties", "order_id"), {"type": "integer"}),
    (("schemas", "events", "Colour", "enum"), ["red"]),
    (("schemas", "events", "Part", "properties", "count"), REMOVED),
]
COMPATIBLE: list[tuple[Steps, object]] = [
    (("operations", "rpc.order.unmake"), published_language()["operations"]["rpc.order.make"]),
    (("events", "souk.order.unmade"), published_language()["events"]["souk.order.made"]),
    ((*OPERATION, "access"), "anyone"),
    ((*OPERATION, "callers"), ["cart", "edge"]),
    ((*OPERATION, "failures", "closed"), 409),
    ((*REQUEST, "properties", "more"), TEXT),
    ((*REQUEST, "required"), []),
    ((*REQUEST, "properties", "parts", "maxItems"), 6),
    ((*REQUEST, "description"), "Another description."),
    ((*REQUEST_PART, "properties", "count", "maximum"), 11),
    ((*REQUEST_PART, "properties", "count", "minimum"), 0),
    ((*REQUEST_PART, "properties", "count", "type"), "number"),
    ((*REQUEST_PART, "properties", "sku", "pattern"), REMOVED),
    (("schemas", "requests", "Colour", "enum"), ["red", "blue", "green"]),
    ((*REPLY, "properties", "more"), TEXT),
    (("schemas", "replies", "Colour", "enum"), ["red", "blue", "green"]),
    ((*EVENT, "properties", "more"), TEXT),
    (("schemas", "events", "Colour", "enum"), ["red", "blue", "green"]),
]


def test_unchanged_contracts_are_compatible() -> None:
    assert breaking_changes(published_language(), published_language()) == []


@pytest.mark.parametrize(("steps", "value"), BREAKING)
def test_breaking_change_is_found(steps: Steps, value: object) -> None:
    assert breaking_changes(published_language(), changed(steps, value))


@pytest.mark.parametrize(("steps", "value"), COMPATIBLE)
def test_addition_is_compatible(steps: Steps, value: object) -> None:
    assert breaking_changes(published_language(), changed(steps, value)) == []


def test_message_names_the_place() -> None:
    new = changed((*REQUEST_PART, "properties", "count", "maximum"), 9)
    assert breaking_changes(published_language(), new) == [
        "rpc.order.make request/parts/*/count: maximum is 9 against 10"
    ]


def test_constant_may_become_an_enum() -> None:
    old = changed(("schemas", "requests", "Colour"), {"type": "string", "const": "red"})
    assert breaking_changes(old, published_language()) == []
    assert breaking_changes(published_language(), old)


@pytest.mark.parametrize(
    ("pattern", "max_length", "is_compatible"),
    [("^[a-z]+$", 4, True), ("^[a-z]+$", 3, False), ("^r", 40, False)],
    ids=["all values match", "too long", "another form"],
)
def test_enum_may_become_a_pattern_that_its_values_match(pattern: str, max_length: int, *, is_compatible: bool) -> None:
    text = {"type": "string", "pattern": pattern, "maxLength": max_length}
    new = changed(("schemas", "requests", "Colour"), text)
    assert (breaking_changes(published_language(), new) == []) is is_compatible
    assert breaking_changes(new, published_language())


def test_recursive_schema_is_compared() -> None:
    def recursive(**more: object) -> dict[str, Any]:
        tree = {"type": "object", "properties": {"below": {"$ref": "#/schemas/requests/PartsRequest"}, **more}}
        return changed(REQUEST, tree)

    assert breaking_changes(recursive(), recursive(name=TEXT)) == []


def test_contracts_are_compatible_with_the_snapshot() -> None:
    """The committed snapshot still holds. `souk docs` adds new contracts to it."""
    published = orjson.loads((REPOSITORY / SNAPSHOT).read_bytes())
    assert breaking_changes(published, contract_snapshot()) == []
