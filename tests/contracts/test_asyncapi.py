"""The AsyncAPI document: whole, and nothing in it that leads nowhere."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contracts.registry import EVENTS, OPERATIONS, SUBSCRIPTIONS
from infra.contract_tools.asyncapi import build_asyncapi

DOCUMENT = build_asyncapi()
KEY = re.compile(r"^[\w.\-]+$")


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def followed(reference: str) -> Any:
    place: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        place = place[step]
    return place


def test_has_the_form_of_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    for part in (DOCUMENT["channels"], DOCUMENT["operations"], *DOCUMENT["components"].values()):
        assert all(KEY.match(name) for name in part), [name for name in part if not KEY.match(name)]
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= server.keys()


def test_no_reference_leads_nowhere() -> None:
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        assert followed(reference) is not None, reference


def test_operations_stand_on_the_messages_of_their_channels() -> None:
    for name, operation in DOCUMENT["operations"].items():
        assert operation["action"] in {"send", "receive"}
        for side in (operation, *filter(None, [operation.get("reply")])):
            channel = side["channel"]["$ref"]
            assert all(message["$ref"].startswith(f"{channel}/messages/") for message in side["messages"]), name


def test_addresses_name_their_parameters() -> None:
    for name, channel in DOCUMENT["channels"].items():
        named = re.findall(r"{(\w+)}", channel["address"] or "")
        assert sorted(named) == sorted(channel.get("parameters", {})), name


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.subject)
def test_every_ask_is_there_with_its_reply_and_failures(operation: Any) -> None:
    described = DOCUMENT["operations"][operation.subject]
    endings = {message["$ref"].rpartition("/")[2] for message in described["reply"]["messages"]}
    assert endings == {"reply"} | {kind.code for kind in operation.every_failure()}
    assert followed(described["channel"]["$ref"])["address"] == operation.subject


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type())
def test_every_event_is_there_with_who_says_and_who_hears_it(event: Any) -> None:
    channel = DOCUMENT["channels"][event.type()]
    assert re.sub(r"{\w+}", "*", channel["address"]) == event.pattern()
    hearers = {name for name in DOCUMENT["operations"] if name.endswith(f".hears.{event.type()}")}
    assert hearers == {f"{service}.hears.{event.type()}" for service, heard in SUBSCRIPTIONS.items() if event in heard}
    assert f"{event.service}.says.{event.name}" in DOCUMENT["operations"]


def test_every_schema_is_one() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
