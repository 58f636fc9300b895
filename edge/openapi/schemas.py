"""The JSON Schemas of the API: one definition a model, requests closed to unknown fields, replies open to growth."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from contracts.failure import Problem
from edge.request_parsing import UPLOAD_FIELD
from edge.router import PATH_PARAMETER
from edge.routes import Route

Schema = dict[str, Any]
Mode = Literal["validation", "serialization"]
TEMPLATE = "#/components/schemas/{model}"


class ComponentSchemas:
    """Definitions for `components/schemas`, and what refers to them."""

    def __init__(self, routes: Sequence[Route]) -> None:
        requests = {route.operation.request for route in routes}
        replies = {route.operation.reply for route in routes}
        ordered = sorted(requests, key=_name), sorted(replies, key=_name)
        wanted: list[tuple[type[BaseModel], Mode]] = [
            *((model, "validation") for model in ordered[0]),
            *((model, "serialization") for model in ordered[1]),
            (Problem, "serialization"),
        ]
        self._schemas, definitions = models_json_schema(wanted, ref_template=TEMPLATE)
        self.definitions: dict[str, Schema] = definitions.get("$defs", {})
        self._open_replies(requests)

    def reply(self, model: type[BaseModel]) -> Schema:
        return self._schemas[model, "serialization"]

    def fields(self, route: Route) -> tuple[dict[str, Schema], frozenset[str]]:
        """Every field of a route's request by its name on the wire, and which of them are required."""
        schema = self._resolved(self._schemas[route.operation.request, "validation"])
        return schema.get("properties", {}), frozenset(schema.get("required", ()))

    def body(self, route: Route) -> Schema:
        """What the body holds: the request without what the path and the edge give."""
        model = route.operation.request
        elsewhere = {*PATH_PARAMETER.findall(route.path), UPLOAD_FIELD} & set(model.model_fields)
        if not elsewhere:
            return self._schemas[model, "validation"]
        name = f"{_name(model)}Body"
        if name not in self.definitions:
            schema = deepcopy(self._resolved(self._schemas[model, "validation"]))
            schema["properties"] = {key: value for key, value in schema["properties"].items() if key not in elsewhere}
            schema["required"] = [key for key in schema.get("required", ()) if key not in elsewhere]
            self.definitions[name] = schema | {"title": name}
        return {"$ref": TEMPLATE.format(model=name)}

    def required_in_body(self, route: Route) -> frozenset[str]:
        """The fields without which a body is refused."""
        return self.fields(route)[1] - {*PATH_PARAMETER.findall(route.path), UPLOAD_FIELD}

    def _resolved(self, schema: Mapping[str, Any]) -> Schema:
        return self.definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else dict(schema)

    def _open_replies(self, requests: set[type[Any]]) -> None:
        """A client that takes no field it does not know would break when the API grows."""
        asked = self.reachable(self._schemas[model, "validation"] for model in requests)
        for name, schema in self.definitions.items():
            if name not in asked and schema.get("additionalProperties") is False:
                del schema["additionalProperties"]

    def reachable(self, schemas: Iterable[object]) -> set[str]:
        """The names of all definitions that these schemas are made of."""
        found: set[str] = set()
        waiting = [name for schema in schemas for name in schema_refs(schema)]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += schema_refs(self.definitions[name])
        return found


def schema_refs(schema: object) -> Iterator[str]:
    """The names of the definitions that a schema refers to."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                place, _, name = value.rpartition("/")
                yield from [name] if place == "#/components/schemas" else []
            else:
                yield from schema_refs(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from schema_refs(item)


def _name(model: type[Any]) -> str:
    return model.__name__
