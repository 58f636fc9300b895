"""The contracts as one JSON value, which is committed and compared with later contracts."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from contracts.registry import EVENTS, OPERATIONS

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]


def contract_snapshot() -> Json:
    """All operations and events with the JSON Schemas of their messages; `$ref`s point into `schemas`."""
    requests, request_definitions = model_schemas(
        (operation.request for operation in OPERATIONS), "validation", "requests"
    )
    replies, reply_definitions = model_schemas(
        (operation.reply for operation in OPERATIONS), "serialization", "replies"
    )
    bodies, event_definitions = model_schemas(EVENTS, "validation", "events")
    operations = {
        operation.subject: {
            "request": requests[operation.request],
            "reply": replies[operation.reply],
            "failures": {kind.code: int(kind.status) for kind in operation.all_failures()},
            "access": operation.access.value,
            "callers": sorted(operation.callers),
            "writes": operation.writes,
        }
        for operation in OPERATIONS
    }
    events = {
        event.ce_type(): {"subject": event.subject_pattern(), "key": event.key, "body": bodies[event]}
        for event in EVENTS
    }
    return {
        "operations": dict(sorted(operations.items())),
        "events": dict(sorted(events.items())),
        "schemas": {"requests": request_definitions, "replies": reply_definitions, "events": event_definitions},
    }


def model_schemas(
    models: Iterable[type[BaseModel]], mode: Mode, group: str
) -> tuple[dict[type[BaseModel], Json], Json]:
    """The schema of each model, and the definitions that they share, referenced as `#/schemas/<group>/<name>`."""
    ordered = sorted(set(models), key=lambda model: (model.__module__, model.__qualname__))
    found, definitions = models_json_schema(
        [(model, mode) for model in ordered], ref_template=f"#/schemas/{group}/{{model}}"
    )
    return {model: found[model, mode] for model in ordered}, dict(sorted(definitions.get("$defs", {}).items()))
