"""AsyncAPI 3 of everything that is asked and said on NATS, made from the contracts: replies and failures included."""

from typing import Any

from pydantic.json_schema import models_json_schema

from contracts import headers
from contracts.event import Event
from contracts.failure import Fail, Problem
from contracts.operation import AnyOperation
from contracts.registry import EVENTS, OPERATIONS, SUBSCRIPTIONS

Json = dict[str, Any]
SCHEMA_REF = "#/components/schemas/{model}"
_TEXT: Json = {"type": "string"}


def build_asyncapi() -> Json:
    """The document."""
    references, definitions = _schemas()
    failures = {kind for operation in OPERATIONS for kind in operation.all_failures()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Souk on NATS",
            "version": "1",
            "description": "Asks are request-reply on core NATS, events are CloudEvents on JetStream. "
            "Events come at least once; those of one aggregate in order.",
        },
        "defaultContentType": "application/json",
        "servers": {"nats": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "channels": {
            **{name: channel for operation in OPERATIONS for name, channel in _ask_channels(operation).items()},
            **{event.ce_type(): _event_channel(event) for event in EVENTS},
        },
        "operations": {**{operation.subject: _answers(operation) for operation in OPERATIONS}, **_events()},
        "components": {
            "messages": {
                **{name: found for operation in OPERATIONS for name, found in _messages(operation, references).items()},
                **{f"failure.{kind.code}": _failure(kind) for kind in sorted(failures, key=lambda kind: kind.code)},
                **{event.ce_type(): _event_message(event, references) for event in EVENTS},
            },
            "schemas": definitions,
        },
    }


def _schemas() -> tuple[dict[tuple[type, str], Json], Json]:
    requests = {operation.request for operation in OPERATIONS} | set(EVENTS)
    replies = {operation.reply for operation in OPERATIONS} | {Problem}
    found, definitions = models_json_schema(
        [
            *((model, "validation") for model in sorted(requests, key=lambda model: model.__qualname__)),
            *((model, "serialization") for model in sorted(replies, key=lambda model: model.__qualname__)),
        ],
        ref_template=SCHEMA_REF,
    )
    return {(model, mode): schema for (model, mode), schema in found.items()}, definitions["$defs"]


def _channel_message(channel: str, message: str) -> Json:
    return {"$ref": f"#/channels/{channel}/messages/{message}"}


def _component(message: str) -> Json:
    return {"$ref": f"#/components/messages/{message}"}


def _ask_channels(operation: AnyOperation) -> Json:
    subject = operation.subject
    replies = ["reply", *(kind.code for kind in operation.all_failures())]
    return {
        subject: {
            "address": subject,
            "description": f"May be asked by: {', '.join(operation.callers)}.",
            "messages": {"request": _component(f"{subject}.request")},
        },
        f"{subject}.reply": {
            "address": None,
            "description": "The inbox that the request names.",
            "messages": {
                name: _component(f"{subject}.reply" if name == "reply" else f"failure.{name}") for name in replies
            },
        },
    }


def _answers(operation: AnyOperation) -> Json:
    """The service receives the ask and replies in one of these ways."""
    reply = f"{operation.subject}.reply"
    endings = ["reply", *dict.fromkeys(kind.code for kind in operation.all_failures())]
    return {
        "action": "receive",
        "summary": operation.summary,
        "tags": [{"name": operation.service}, {"name": f"access:{operation.access.value}"}],
        "channel": {"$ref": f"#/channels/{operation.subject}"},
        "messages": [_channel_message(operation.subject, "request")],
        "reply": {
            "address": {"location": "$message.header#/reply", "description": "The reply subject of the NATS message."},
            "channel": {"$ref": f"#/channels/{reply}"},
            "messages": [_channel_message(reply, ending) for ending in endings],
        },
    }


def _messages(operation: AnyOperation, references: dict[tuple[type, str], Json]) -> Json:
    carried = [headers.TRACEPARENT, headers.REQUEST_ID, headers.TIME_LEFT, headers.CLIENT_IP, headers.IDENTITY]
    if operation.writes:
        carried += [headers.IDEMPOTENCY_KEY, headers.IF_MATCH]
    return {
        f"{operation.subject}.request": {
            "name": operation.request.__name__,
            "headers": {"type": "object", "properties": dict.fromkeys(carried, _TEXT)},
            "payload": references[operation.request, "validation"],
        },
        f"{operation.subject}.reply": {
            "name": operation.reply.__name__,
            "headers": {"type": "object", "properties": dict.fromkeys((headers.VERSION, headers.REPLAYED), _TEXT)},
            "payload": references[operation.reply, "serialization"],
        },
    }


def _failure(kind: type[Fail]) -> Json:
    found = {headers.ERROR: {"const": kind.code}, headers.ERROR_CODE: {"const": str(int(kind.status))}}
    return {
        "name": kind.code,
        "summary": kind.title(),
        "contentType": "application/problem+json",
        "headers": {"type": "object", "properties": found, "required": sorted(found)},
        "payload": {"$ref": SCHEMA_REF.format(model=Problem.__name__)},
    }


def _event_channel(event: type[Event]) -> Json:
    return {
        "address": event.subject_pattern().replace("*", f"{{{event.key}}}"),
        "description": (event.__doc__ or "").strip(),
        "parameters": {event.key: {"description": "The aggregate's id."}},
        "messages": {"event": _component(event.ce_type())},
    }


def _event_message(event: type[Event], references: dict[tuple[type, str], Json]) -> Json:
    carried = {
        headers.EVENT_SPEC_VERSION: {"const": "1.0"},
        headers.EVENT_TYPE: {"const": event.ce_type()},
        headers.EVENT_SOURCE: {"const": event.ce_source()},
        headers.EVENT_ID: {"type": "string", "format": "uuid"},
        headers.EVENT_TIME: {"type": "string", "format": "date-time"},
        headers.TRACEPARENT: _TEXT,
    }
    return {
        "name": event.ce_type(),
        "summary": (event.__doc__ or "").strip(),
        "headers": {"type": "object", "properties": carried, "required": sorted(carried)},
        "payload": references[event, "validation"],
    }


def _events() -> Json:
    """Who says each event, and who hears it."""
    said = {f"{event.service}.says.{event.name}": _one_way("send", event) for event in EVENTS}
    heard = {
        f"{service}.hears.{event.ce_type()}": _one_way("receive", event)
        for service, events in SUBSCRIPTIONS.items()
        for event in events
    }
    return {**said, **heard}


def _one_way(action: str, event: type[Event]) -> Json:
    return {
        "action": action,
        "summary": (event.__doc__ or "").strip(),
        "channel": {"$ref": f"#/channels/{event.ce_type()}"},
        "messages": [_channel_message(event.ce_type(), "event")],
    }
