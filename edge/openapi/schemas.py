"""The JSON Schemas of the HTTP API: requests refuse unknown fields, replies may gain fields later."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel

from contracts.failure import Problem
from contracts.model import Empty, Model
from edge.request_parsing import UPLOAD_FIELD
from edge.router import PATH_PARAMETER
from edge.routes import BodyFormat, Route
from infra.contract_tools.json_schema import SCHEMA_REF, message_schemas, schema_refs

Schema = dict[str, Any]

IMAGE_FIELD: Schema = {
    "type": "string",
    "contentMediaType": "image/*",
    "description": "A JPEG, PNG or WebP image of up to 10 MiB.",
}


class ComponentSchemas:
    """The definitions in `components/schemas`, and references to them."""

    def __init__(self, routes: Sequence[Route]) -> None:
        requests = {route.operation.request for route in routes}
        replies: set[type[BaseModel]] = {Problem, Empty, *(route.operation.reply for route in routes)}
        self._schemas, self._requests = message_schemas(requests, replies)
        self.definitions = dict(self._requests)
        for route in routes:
            if route.body_format in (BodyFormat.JSON, BodyFormat.IMAGE):
                self._define_body(route)
        self._open_replies(routes)

    def reply(self, model: type[Model]) -> Schema:
        """Returns a reference to the schema of a reply."""
        return self._schemas[model, "serialization"]

    def fields(self, route: Route) -> tuple[dict[str, Schema], frozenset[str]]:
        """Returns all fields of a route's request by their JSON names, and the names of the required ones."""
        (name,) = schema_refs(self._schemas[route.operation.request, "validation"])
        schema = self._requests[name]
        return schema.get("properties", {}), frozenset(schema.get("required", ()))

    def body(self, route: Route) -> Schema:
        """Returns a reference to the schema of a route's body."""
        (name,) = schema_refs(self._schemas[route.operation.request, "validation"])
        return {"$ref": SCHEMA_REF.format(model=name if self._body_fields(route) else Empty.__name__)}

    def required_in_body(self, route: Route) -> frozenset[str]:
        """Returns the fields that a body must have."""
        return self.fields(route)[1] & set(self._body_fields(route))

    def used_by(self, document_parts: Iterable[object]) -> dict[str, Schema]:
        """Returns the definitions that parts of the document refer to, directly or not."""
        return {name: self.definitions[name] for name in sorted(self._reachable(document_parts))}

    def _define_body(self, route: Route) -> None:
        """Defines the schema of a body: the request without the fields in the path and those that the edge sets."""
        if not (fields := self._body_fields(route)):
            return
        (name,) = schema_refs(self._schemas[route.operation.request, "validation"])
        required = self.required_in_body(route)
        if route.body_format is BodyFormat.IMAGE:
            fields, required = {"image": IMAGE_FIELD, **fields}, required | {"image"}
        schema = {**self._requests[name], "properties": fields}
        schema.pop("required", None)
        self.definitions[name] = schema | ({"required": [one for one in fields if one in required]} if required else {})

    def _body_fields(self, route: Route) -> dict[str, Schema]:
        elsewhere = {*PATH_PARAMETER.findall(route.path), UPLOAD_FIELD}
        return {name: field for name, field in self.fields(route)[0].items() if name not in elsewhere}

    def _open_replies(self, routes: Sequence[Route]) -> None:
        """A client that refuses unknown fields would break when a reply gains one."""
        requested = self._reachable(self._schemas[route.operation.request, "validation"] for route in routes)
        for name in self.definitions.keys() - requested:
            if self.definitions[name].get("additionalProperties") is False:
                open_schema = {
                    key: value for key, value in self.definitions[name].items() if key != "additionalProperties"
                }
                self.definitions[name] = open_schema

    def _reachable(self, parts: Iterable[object]) -> set[str]:
        found: set[str] = set()
        waiting = [name for part in parts for name in schema_refs(part)]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += schema_refs(self.definitions[name])
        return found
