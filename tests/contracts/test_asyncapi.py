"""The AsyncAPI document is complete and well-formed."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contracts.event import Event
from contracts.operation import AnyOperation
from contracts.registry import EVENTS, OPERATIONS, SUBSCRIPTIONS
from infra.contract_tools.asyncapi import build_asyncapi

DOCUMENT = build_asyncapi()
COMPONENT_KEY = re.compile(r"^[\w.\-]+$")


def references_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references_in(inner)


def resolve(reference: str) -> Any:
    place: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        place = place[step]
    return place


def test_has_the_parts_of_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version", "license"} <= DOCUMENT["info"].keys()
    for part in (DOCUMENT["channels"], DOCUMENT["operations"], *DOCUMENT["components"].values()):
        assert [name for name in part if not COMPONENT_KEY.match(name)] == []
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol", "security"} <= server.keys()


def test_every_reference_resolves() -> None:
    references = set(references_in(DOCUMENT))
    assert references
    for reference in references:
        assert resolve(reference) is not None, reference


def test_operations_use_messages_of_their_channels() -> None:
    for name, operation in DOCUMENT["operations"].items():
        assert operation["action"] in {"send", "receive"}
        for side in (operation, *filter(None, [operation.get("reply")])):
            channel = side["channel"]["$ref"]
            assert all(message["$ref"].startswith(f"{channel}/messages/") for message in side["messages"]), name


def test_addresses_declare_their_parameters() -> None:
    for name, channel in DOCUMENT["channels"].items():
        in_address = re.findall(r"{(\w+)}", channel["address"] or "")
        assert sorted(in_address) == sorted(channel.get("parameters", {})), name


def test_every_message_has_a_title() -> None:
    assert [name for name, message in DOCUMENT["components"]["messages"].items() if not message.get("title")] == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.subject)
def test_operation_has_its_reply_and_failures(operation: AnyOperation) -> None:
    described = DOCUMENT["operations"][operation.subject]
    outcomes = {message["$ref"].rpartition("/")[2] for message in described["reply"]["messages"]}
    assert outcomes == {"reply"} | {failure.code for failure in operation.all_failures()}
    assert resolve(described["channel"]["$ref"])["address"] == operation.subject
    assert described["bindings"]["nats"]["queue"] == operation.service


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.ce_type())
def test_event_has_its_publisher_and_subscribers(event: type[Event]) -> None:
    channel = DOCUMENT["channels"][event.ce_type()]
    assert re.sub(r"{\w+}", "*", channel["address"]) == event.subject_pattern()
    consumers = {name for name in DOCUMENT["operations"] if name.endswith(f".consumes.{event.ce_type()}")}
    assert consumers == {
        f"{service}.consumes.{event.ce_type()}" for service, events in SUBSCRIPTIONS.items() if event in events
    }
    assert f"{event.service}.publishes.{event.name}" in DOCUMENT["operations"]


def test_every_schema_is_valid() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
