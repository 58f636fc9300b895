"""What a request says, as the JSON body of the ask: path, query and body merged, each from its own place only.

The service validates. Here is refused what cannot be turned into an ask at all: a path that names nothing, a query
that cannot be read, a body that is not JSON.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from contracts.failure import FieldError, InvalidRequest, MalformedRequest, NotFound
from contracts.model import Model
from edge.router import PATH_PARAMETER
from edge.routes import Route
from infra.messaging.rpc_server import validation_failure

UPLOAD_FIELD = "upload"
"""The field that only the edge sets: the name of an object it has stored."""
MAX_QUERY_PARAMETERS = 50


class RequestParser:
    """Reads the requests of one route."""

    def __init__(self, route: Route) -> None:
        self.request_model: type[Model] = route.operation.request
        self.path_fields: tuple[str, ...] = tuple(PATH_PARAMETER.findall(route.path))
        fields = self.request_model.model_fields
        self._path_model = _model_of(self.request_model, self.path_fields)
        self.query_fields = {
            field.alias or name: name for name, field in fields.items() if name not in (*self.path_fields, UPLOAD_FIELD)
        }

    def parse_query(self, params: Mapping[str, str], query: str) -> bytes:
        """The ask of a request without a body. Strings become what the fields say; what does not fit is malformed."""
        if not params and not query:
            return b"{}"
        said = self._query(query) if query else {}
        try:
            request = self.request_model.model_validate_strings({**said, **params})
        except ValidationError as error:
            raise self._unreadable(error) from None
        return request.__pydantic_serializer__.to_json(request, by_alias=True, exclude_unset=True)

    def parse_path(self, params: Mapping[str, str], query: str) -> dict[str, Any]:
        """The fields that the path of a request with a body gives."""
        if query:
            name = _pairs(query)[0][0]
            raise MalformedRequest(errors=[unknown_field(name)])
        if not params:
            return {}
        try:
            return self._path_model.model_validate_strings(dict(params)).model_dump()
        except ValidationError:
            raise NotFound from None

    def parse_body(self, body: bytes, path: Mapping[str, Any]) -> bytes:
        """The ask of a JSON body. It is written anew, so that every reader sees the same of it."""
        said = parse_json_object(body) if body else {}
        if UPLOAD_FIELD in said:
            raise InvalidRequest(errors=[unknown_field(UPLOAD_FIELD)])
        return self.merge_fields(said, path)

    def merge_fields(self, said: Mapping[str, Any], path: Mapping[str, Any]) -> bytes:
        """The ask of fields that the edge has read itself."""
        if foreign := [name for name in path if name in said]:
            raise InvalidRequest(errors=[unknown_field(name) for name in foreign])
        return orjson.dumps({**said, **path})

    def _query(self, query: str) -> dict[str, str]:
        pairs = _pairs(query)
        said = dict(pairs)
        errors = [unknown_field(name) for name in said if name not in self.query_fields]
        if len(said) != len(pairs):
            errors.append(FieldError(pointer="", detail="A parameter is given more than once"))
        if errors:
            raise MalformedRequest("The query cannot be read.", errors=errors)
        return said

    def _unreadable(self, error: ValidationError) -> MalformedRequest | NotFound:
        if any(item["loc"] and item["loc"][0] in self.path_fields for item in error.errors()):
            return NotFound()
        return MalformedRequest("The query cannot be read.", errors=validation_failure(error).errors)


def parse_json_object(body: bytes) -> dict[str, Any]:
    """A JSON object. NaN, lone surrogates and text that is not UTF-8 are not JSON."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedRequest("The body is not JSON.") from None
    if not isinstance(said, dict):
        raise InvalidRequest(errors=[FieldError(pointer="", detail="Input should be an object")])
    return said


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_PARAMETERS)
    except (ValueError, UnicodeDecodeError):
        raise MalformedRequest("The query cannot be read.") from None
    return pairs or [("", "")]


def unknown_field(name: str) -> FieldError:
    escaped = name.replace("~", "~0").replace("/", "~1")
    return FieldError(pointer=f"/{escaped}"[:200], detail="Extra inputs are not permitted")


def _model_of(request: type[Model], names: tuple[str, ...]) -> type[BaseModel]:
    """A model of only those fields, which reads strings."""
    fields: Any = {name: (request.model_fields[name].annotation, request.model_fields[name]) for name in names}
    return create_model(f"{request.__name__}Path", __config__=ConfigDict(hide_input_in_errors=True), **fields)
