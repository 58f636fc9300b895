"""What breaks the published language, and what only lets it grow."""

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
from infra.ops.cli.docs import ROOT, SNAPSHOT


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(Model):
    sku: SingleLine
    count: Annotated[int, Field(ge=1, le=10)] = 1


class Wanted(Model):
    parts: Annotated[list[Part], Field(min_length=1, max_length=5)]
    colour: Colour = Colour.RED
    note: SingleLine | None = None


class Given(Model):
    id: Id
    colour: Colour
    parts: list[Part]
    note: SingleLine | None = None


class Made(Event, service="order", name="tried_in_a_test", key="order_id"):
    order_id: Id
    colour: Colour
    parts: list[Part]


def language() -> dict[str, Any]:
    """A small one, like the real."""
    requests, asked = model_schemas([Wanted], "validation", "requests")
    replies, replied = model_schemas([Given], "serialization", "replies")
    events, said = model_schemas([Made], "validation", "events")
    operation = {
        "request": requests[Wanted],
        "reply": replies[Given],
        "failures": {"sold_out": 409},
        "access": "customer",
        "callers": ["edge"],
        "writes": True,
    }
    event = {"subject": "event.order.*.made", "key": "order_id", "body": events[Made]}
    return {
        "operations": {"rpc.order.make": operation},
        "events": {"souk.order.made": event},
        "schemas": {"requests": asked, "replies": replied, "events": said},
    }


Steps = tuple[str, ...]
REQUEST: Steps = ("schemas", "requests", "Wanted")
REPLY: Steps = ("schemas", "replies", "Given")
EVENT: Steps = ("schemas", "events", "Made")
PART_IN: Steps = ("schemas", "requests", "Part")
OPERATION: Steps = ("operations", "rpc.order.make")
SAID: Steps = ("events", "souk.order.made")
GONE = object()


def changed(steps: Steps, value: object) -> dict[str, Any]:
    """The language with one thing in it set anew, or taken away."""
    new = deepcopy(language())
    place: Any = new
    for step in steps[:-1]:
        place = place[step]
    if value is GONE:
        del place[steps[-1]]
    else:
        place[steps[-1]] = value
    return new


TEXT = {"type": "string"}
BREAKS: list[tuple[Steps, object]] = [
    (OPERATION, GONE),
    (SAID, GONE),
    ((*OPERATION, "access"), "admin"),
    ((*OPERATION, "callers"), []),
    ((*OPERATION, "failures", "sold_out"), 410),
    ((*SAID, "subject"), "event.order.*.built"),
    ((*SAID, "key"), "id"),
    ((*REQUEST, "required"), ["parts", "colour"]),
    ((*REQUEST, "properties", "note"), GONE),
    ((*REQUEST, "properties", "note"), TEXT),
    ((*REQUEST, "properties", "parts", "maxItems"), 4),
    ((*REQUEST, "properties", "parts", "minItems"), 2),
    ((*REQUEST, "properties", "parts", "items"), TEXT),
    ((*PART_IN, "properties", "count", "type"), "string"),
    ((*PART_IN, "properties", "count", "maximum"), 9),
    ((*PART_IN, "properties", "count", "minimum"), 2),
    ((*PART_IN, "properties", "sku", "pattern"), "^a$"),
    ((*PART_IN, "properties", "sku", "maxLength"), 254),
    (("schemas", "requests", "Colour", "enum"), ["red"]),
    ((*REPLY, "properties", "id"), GONE),
    ((*REPLY, "required"), ["id", "colour"]),
    ((*REPLY, "properties", "id", "format"), "date"),
    ((*REPLY, "properties", "id", "type"), "integer"),
    ((*REPLY, "properties", "parts", "items"), TEXT),
    ((*EVENT, "required"), ["order_id", "colour", "parts", "more"]),
    ((*EVENT, "required"), ["order_id", "colour"]),
    ((*EVENT, "properties", "order_id"), {"type": "integer"}),
    (("schemas", "events", "Colour", "enum"), ["red"]),
    (("schemas", "events", "Part", "properties", "count"), GONE),
]
GROWS: list[tuple[Steps, object]] = [
    (("operations", "rpc.order.unmake"), language()["operations"]["rpc.order.make"]),
    (("events", "souk.order.unmade"), language()["events"]["souk.order.made"]),
    ((*OPERATION, "access"), "anyone"),
    ((*OPERATION, "callers"), ["cart", "edge"]),
    ((*OPERATION, "failures", "closed"), 409),
    ((*REQUEST, "properties", "more"), TEXT),
    ((*REQUEST, "required"), []),
    ((*REQUEST, "properties", "parts", "maxItems"), 6),
    ((*REQUEST, "description"), "Other words."),
    ((*PART_IN, "properties", "count", "maximum"), 11),
    ((*PART_IN, "properties", "count", "minimum"), 0),
    ((*PART_IN, "properties", "count", "type"), "number"),
    ((*PART_IN, "properties", "sku", "pattern"), GONE),
    (("schemas", "requests", "Colour", "enum"), ["red", "blue", "green"]),
    ((*REPLY, "properties", "more"), TEXT),
    (("schemas", "replies", "Colour", "enum"), ["red", "blue", "green"]),
    ((*EVENT, "properties", "more"), TEXT),
    (("schemas", "events", "Colour", "enum"), ["red", "blue", "green"]),
]


def test_the_same_breaks_nothing() -> None:
    assert breaking_changes(language(), language()) == []


@pytest.mark.parametrize(("steps", "value"), BREAKS)
def test_finds_what_breaks(steps: Steps, value: object) -> None:
    found = breaking_changes(language(), changed(steps, value))
    assert found, "goes unnoticed"


@pytest.mark.parametrize(("steps", "value"), GROWS)
def test_lets_grow(steps: Steps, value: object) -> None:
    assert breaking_changes(language(), changed(steps, value)) == []


def test_says_where() -> None:
    new = changed((*PART_IN, "properties", "count", "maximum"), 9)
    assert breaking_changes(language(), new) == ["rpc.order.make request/parts/*/count: maximum is 9 against 10"]


def test_a_single_value_may_become_several() -> None:
    old = changed(("schemas", "requests", "Colour"), {"type": "string", "const": "red"})
    assert breaking_changes(old, language()) == []
    assert breaking_changes(language(), old)


def test_ends_on_what_holds_itself() -> None:
    def endless(**more: object) -> dict[str, Any]:
        tree = {"type": "object", "properties": {"below": {"$ref": "#/schemas/requests/Wanted"}, **more}}
        return changed(REQUEST, tree)

    assert breaking_changes(endless(), endless(name=TEXT)) == []


def test_the_contracts_keep_their_promises() -> None:
    """What was published still holds; `souk docs` takes in what is new."""
    published = orjson.loads((ROOT / SNAPSHOT).read_bytes())
    assert breaking_changes(published, contract_snapshot()) == []
