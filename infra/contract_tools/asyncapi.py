"""Builds the AsyncAPI 3 document of all requests, replies, failures and events on NATS from the contracts."""

from pydantic import BaseModel

from contracts import headers
from contracts.event import Event
from contracts.failure import Fail, Problem
from contracts.operation import AnyOperation
from contracts.registry import EVENTS, OPERATIONS, SUBSCRIPTIONS
from infra.contract_tools.json_schema import SCHEMA_REF, Json, Mode, message_schemas

References = dict[tuple[type[BaseModel], Mode], Json]

_TEXT: Json = {"type": "string"}


def build_asyncapi() -> Json:
    """Returns the document."""
    requests = {operation.request for operation in OPERATIONS} | set(EVENTS)
    replies = {operation.reply for operation in OPERATIONS} | {Problem}
    references, definitions = message_schemas(requests, replies)
    failures = {kind for operation in OPERATIONS for kind in operation.all_failures()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Souk on NATS",
            "version": "1",
            "description": "Requests use request-reply on core NATS; events are CloudEvents on JetStream. "
            "Events are delivered at least once, and those of one aggregate in order.",
            "license": {"name": "MIT", "url": "https://opensource.org/license/mit"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "Each service has a NATS user that may use only its own subjects.",
                "security": [{"$ref": "#/components/securitySchemes/natsUser"}],
            }
        },
        "channels": {
            **{name: channel for operation in OPERATIONS for name, channel in _request_channels(operation).items()},
            **{event.ce_type(): _event_channel(event) for event in EVENTS},
        },
        "operations": {
            **{operation.subject: _request_operation(operation) for operation in OPERATIONS},
            **_event_operations(),
        },
        "components": {
            "messages": {
                **{name: found for operation in OPERATIONS for name, found in _messages(operation, references).items()},
                **{f"failure.{kind.code}": _failure(kind) for kind in sorted(failures, key=lambda kind: kind.code)},
                **{event.ce_type(): _event_message(event, references) for event in EVENTS},
            },
            "schemas": definitions,
            "securitySchemes": {
                "natsUser": {"type": "userPassword", "description": "The NATS user of a service and its password."}
            },
        },
    }


def _channel_message(channel: str, message: str) -> Json:
    return {"$ref": f"#/channels/{channel}/messages/{message}"}


def _component(message: str) -> Json:
    return {"$ref": f"#/components/messages/{message}"}


def _request_channels(operation: AnyOperation) -> Json:
    subject = operation.subject
    replies = ["reply", *(kind.code for kind in operation.all_failures())]
    return {
        subject: {
            "address": subject,
            "description": f"Allowed callers: {', '.join(operation.callers)}.",
            "messages": {"request": _component(f"{subject}.request")},
        },
        f"{subject}.reply": {
            "address": None,
            "description": "The reply subject that the request names.",
            "messages": {
                name: _component(f"{subject}.reply" if name == "reply" else f"failure.{name}") for name in replies
            },
        },
    }


def _request_operation(operation: AnyOperation) -> Json:
    """The service receives the request and sends one of these replies."""
    reply = f"{operation.subject}.reply"
    outcomes = ["reply", *dict.fromkeys(kind.code for kind in operation.all_failures())]
    return {
        "action": "receive",
        "summary": operation.summary,
        "tags": [{"name": operation.service}, {"name": f"access:{operation.access.value}"}],
        "channel": {"$ref": f"#/channels/{operation.subject}"},
        "bindings": {"nats": {"queue": operation.service, "bindingVersion": "0.1.0"}},
        "messages": [_channel_message(operation.subject, "request")],
        "reply": {
            "address": {"location": "$message.header#/reply", "description": "The reply subject of the NATS message."},
            "channel": {"$ref": f"#/channels/{reply}"},
            "messages": [_channel_message(reply, outcome) for outcome in outcomes],
        },
    }


def _messages(operation: AnyOperation, references: References) -> Json:
    carried = [headers.TRACEPARENT, headers.REQUEST_ID, headers.TIME_LEFT, headers.CLIENT_IP, headers.IDENTITY]
    if operation.writes:
        carried += [headers.IDEMPOTENCY_KEY, headers.IF_MATCH]
    return {
        f"{operation.subject}.request": {
            "name": operation.request.__name__,
            "title": f"{operation.summary}: request",
            "headers": {"type": "object", "properties": dict.fromkeys(carried, _TEXT)},
            "payload": references[operation.request, "validation"],
        },
        f"{operation.subject}.reply": {
            "name": operation.reply.__name__,
            "title": f"{operation.summary}: reply",
            "headers": {"type": "object", "properties": dict.fromkeys((headers.VERSION, headers.REPLAYED), _TEXT)},
            "payload": references[operation.reply, "serialization"],
        },
    }


def _failure(kind: type[Fail]) -> Json:
    found = {headers.ERROR: {"const": kind.code}, headers.ERROR_CODE: {"const": str(int(kind.status))}}
    return {
        "name": kind.code,
        "title": kind.title(),
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


def _event_message(event: type[Event], references: References) -> Json:
    carried = {
        headers.EVENT_SPEC_VERSION: {"const": "1.0"},
        headers.EVENT_TYPE: {"const": event.ce_type()},
        headers.EVENT_SOURCE: {"const": event.ce_source()},
        headers.EVENT_SUBJECT: {"type": "string", "description": "The aggregate's id."},
        headers.EVENT_ID: {"type": "string", "format": "uuid"},
        headers.EVENT_TIME: {"type": "string", "format": "date-time"},
        headers.TRACEPARENT: _TEXT,
    }
    return {
        "name": event.ce_type(),
        "title": event.__name__,
        "summary": (event.__doc__ or "").strip(),
        "headers": {"type": "object", "properties": carried, "required": sorted(carried)},
        "payload": references[event, "validation"],
    }


def _event_operations() -> Json:
    """One operation for each event that a service publishes, and one for each that a service consumes."""
    published = {f"{event.service}.publishes.{event.name}": _event_operation("send", event) for event in EVENTS}
    consumed = {
        f"{service}.consumes.{event.ce_type()}": _event_operation("receive", event)
        for service, events in SUBSCRIPTIONS.items()
        for event in events
    }
    return {**published, **consumed}


def _event_operation(action: str, event: type[Event]) -> Json:
    return {
        "action": action,
        "summary": (event.__doc__ or "").strip(),
        "channel": {"$ref": f"#/channels/{event.ce_type()}"},
        "messages": [_channel_message(event.ce_type(), "event")],
    }
