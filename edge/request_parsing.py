"""Turns an HTTP request into the JSON payload of its operation: path, query and body, each field from one place only.

The service validates the values. The edge refuses only what cannot become a payload: a path that names nothing, a query
that cannot be decoded, and a body of the wrong type, over its size, or not JSON.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from contracts.failure import (
    Fail,
    FieldError,
    InvalidRequest,
    MalformedRequest,
    NotFound,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from contracts.model import Model
from contracts.size_limits import MAX_JSON_DEPTH, MAX_JSON_KEYS
from edge.router import PATH_PARAMETER
from edge.routes import MEBIBYTE, BodyFormat, Route
from infra.messaging.request_parsing import validation_failure

UPLOAD_FIELD = "upload"
"""The name of a stored object."""
PAGE_START_FIELD = "page_start"
"""Where a page of a file starts that comes in several replies."""
EDGE_FIELDS = frozenset({UPLOAD_FIELD, PAGE_START_FIELD})
"""Fields that only the edge sets."""
MAX_QUERY_PARAMETERS = 50
MAX_REFUSED_BODY_BYTES = 64 * 1024
"""How much is read of a body that no request of its route has, to name its fields in the error."""
FORM_OVERHEAD_BYTES = 64 * 1024
"""What a form's own lines may add to the file it carries."""


_LIST_INDEX = re.compile(r"/\d+$")
_STRING = re.compile(rb'"[^"]*"')
_TO_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How a number is written in a path or a query, and the error for one that is not."""

    pattern: re.Pattern[str]
    detail: str


_NUMBER_FORMATS = {
    int: NumberFormat(
        re.compile("-?[0-9]{1,40}"), "Send a whole number in digits only, such as 20: no spaces, plus sign or decimals."
    ),
    float: NumberFormat(
        re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?"),
        "Send a number in digits, such as 4 or 4.5: no spaces or plus.",
    ),
}


class RequestParser:
    """Reads the requests of one route."""

    def __init__(self, route: Route) -> None:
        self.request_model: type[Model] = route.operation.request
        self.path_fields: tuple[str, ...] = tuple(PATH_PARAMETER.findall(route.path))
        fields = self.request_model.model_fields
        self._number_formats = {
            field.alias or name: number_format
            for name, field in fields.items()
            if (number_format := _find_number_format(field.annotation))
        }
        self._path_model = _create_model(self.request_model, self.path_fields)
        self.query_fields = {
            field.alias or name: name
            for name, field in fields.items()
            if name not in EDGE_FIELDS.union(self.path_fields)
        }
        self._repeatable = {field.alias or name for name, field in fields.items() if _holds(field.annotation, tuple)}
        """Parameters that may be sent several times."""
        self._named = {field.alias or name for name, field in fields.items() if _holds(field.annotation, dict)}
        """Parameters that are followed by a name, as `attribute.material`. They may be sent several times, too."""
        is_file = route.body_format is BodyFormat.CSV
        self._file_options = _create_model(self.request_model, tuple(self.query_fields.values())) if is_file else None

    def parse_query(self, path_params: Mapping[str, str], query: str) -> bytes:
        """Returns the payload of a request without a body. Text is converted to the fields' types."""
        if not path_params and not query:
            return b"{}"
        params = {**(self._read_query(query) if query else {}), **path_params}
        self._check_numbers(params)
        try:
            request = self._validate(params)
        except ValidationError as error:
            raise self._failure(error) from None
        return request.__pydantic_serializer__.to_json(request, by_alias=True, exclude_unset=True)

    def parse_path(self, path_params: Mapping[str, str], query: str) -> dict[str, Any]:
        """Returns the fields beside a body: those of the path, and of the query where the body is a file itself."""
        if query and self._file_options is not None:
            return self._parse_file_options(path_params, query)
        if query:
            name = _split_query(query)[0][0]
            raise MalformedRequest(errors=[unknown_field(name)])
        if not path_params:
            return {}
        self._check_numbers(path_params)
        try:
            return self._path_model.model_validate_strings(dict(path_params)).model_dump()
        except ValidationError:
            raise NotFound from None

    def _parse_file_options(self, path_params: Mapping[str, str], query: str) -> dict[str, Any]:
        assert self._file_options is not None, "the caller has checked it"
        params = self._read_query(query)
        self._check_numbers(params)
        try:
            options = self._file_options.model_validate_strings(params).model_dump(exclude_unset=True)
        except ValidationError as error:
            raise self._failure(error) from None
        return {**self.parse_path(path_params, ""), **options}

    def parse_body(self, body: bytes, path_values: Mapping[str, Any]) -> bytes:
        """Returns the payload of a JSON body. It is serialized again, so that every reader sees the same values.

        Numbers such as `1e15` take more bytes that way. A body that would grow is passed on as it came.
        """
        fields = parse_json_object(body) if body else {}
        if UPLOAD_FIELD in fields:
            raise InvalidRequest(errors=[unknown_field(UPLOAD_FIELD)])
        payload = self.merge_fields(fields, path_values)
        added = orjson.dumps(path_values)[1:-1] + b"," if path_values else b""
        if fields and len(payload) > len(body) + len(added):
            return b"{" + added + body.strip()[1:]
        return payload

    def merge_fields(self, fields: Mapping[str, Any], path_values: Mapping[str, Any]) -> bytes:
        """Returns the payload of body fields and path fields. A body may not repeat a field of the path."""
        if repeated := [name for name in path_values if name in fields]:
            raise InvalidRequest(errors=[unknown_field(name) for name in repeated])
        return orjson.dumps({**fields, **path_values})

    def _validate(self, params: Mapping[str, Any]) -> Model:
        """Returns the request. Lists and parameters with names are added to it in a second step: they are rare."""
        texts = {name: value for name, value in params.items() if isinstance(value, str)}
        request = self.request_model.model_validate_strings(texts)
        if len(texts) == len(params):
            return request
        fields = request.model_dump(mode="json", by_alias=True, exclude_unset=True)
        lists = {name: value for name, value in params.items() if name not in texts}
        return self.request_model.model_validate_json(orjson.dumps({**fields, **lists}))

    def _read_query(self, query: str) -> dict[str, Any]:
        """Returns the parameters: texts, sorted lists of what was repeated, and dictionaries of these by name."""
        pairs = _split_query(query)
        params: dict[str, Any] = {}
        errors = []
        for name, value in pairs:
            field, _, rest = name.partition(".")
            if field in self._named and rest:
                values = params.setdefault(field, {})
                values[rest] = _add_value(values.get(rest), value)
            elif name not in self.query_fields or name in self._named:
                errors.append(unknown_field(name))
            elif name in self._repeatable or name not in params:
                params[name] = _add_value(params.get(name), value)
            else:
                errors.append(FieldError(pointer="", detail="Send each query parameter only once."))
        if errors:
            raise _invalid_query([error for place, error in enumerate(errors) if error not in errors[:place]])
        return params

    def _check_numbers(self, params: Mapping[str, Any]) -> None:
        """Refuses numbers that only Python reads, and spaces that were a plus sign: ` 1`, `+1`, `1_000`, `1.0`."""
        wrong = [
            name
            for name, number_format in self._number_formats.items()
            if name in params and not number_format.pattern.fullmatch(params[name])
        ]
        if any(name in self.path_fields for name in wrong):
            raise NotFound
        if wrong:
            raise _invalid_query(
                [FieldError(pointer=f"/{name}", detail=self._number_formats[name].detail) for name in wrong]
            )

    def _failure(self, error: ValidationError) -> MalformedRequest | NotFound:
        if any(item["loc"] and item["loc"][0] in self.path_fields for item in error.errors()):
            return NotFound()
        failure = validation_failure(error)
        lists = self._repeatable | self._named
        return _invalid_query(
            [
                FieldError(pointer=_LIST_INDEX.sub("", one.pointer), detail=one.detail)
                if one.pointer.split("/")[1] in lists
                else one
                for one in failure.errors
            ]
        )


def check_body_headers(request: web.BaseRequest, body_format: BodyFormat) -> None:
    """Refuses a body by its headers, before it is read. A request without a body needs no content type."""
    if not request.body_exists:
        return
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body uncompressed, without a `Content-Encoding` header.")
    is_utf8 = (request.charset or "utf-8").lower() in ("utf-8", "utf8")
    is_csv = body_format is BodyFormat.CSV  # its encoding is found out when it is read
    if request.content_type != body_format.value or not (is_utf8 or is_csv):
        raise UnsupportedMediaType(f"Send the body as `{body_format.value}`{'' if is_csv else ' in UTF-8'}.")
    overhead = FORM_OVERHEAD_BYTES if body_format is BodyFormat.IMAGE else 0
    if (request.content_length or 0) > body_format.max_bytes + overhead:
        raise body_too_large(body_format)


async def read_body(request: web.BaseRequest, body_format: BodyFormat) -> bytes:
    """Reads the whole body. A body without a length is measured while it arrives."""
    if not request.body_exists:
        return b""
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > body_format.max_bytes:
            raise body_too_large(body_format)
    return bytes(body)


async def refuse_body(request: web.BaseRequest) -> None:
    """Refuses the body of a request that takes none, so that no client believes that it had an effect.

    Some clients send an empty JSON object with every request. That is allowed.
    """
    if not request.body_exists:
        return
    body = bytearray()
    while len(body) <= MAX_REFUSED_BODY_BYTES and (chunk := await request.content.readany()):
        body += chunk
    try:
        fields = parse_json_object(bytes(body)) if body.strip() else {}
    except Fail:
        raise MalformedRequest("This request takes no body. Remove it.") from None
    if fields:
        raise InvalidRequest(errors=[unknown_field(name) for name in fields])


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Parses a JSON object. NaN, lone surrogates and text that is not UTF-8 are not JSON."""
    check_json_size(body)
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedRequest("The request body is not valid JSON in UTF-8.") from None
    if not isinstance(parsed, dict):
        raise InvalidRequest(errors=[FieldError(pointer="", detail="The request body must be a JSON object.")])
    return parsed


def check_json_size(body: bytes) -> None:
    """Refuses JSON with too many keys or levels before it is parsed. A small body passes after four counts."""
    if body.count(b":") <= MAX_JSON_KEYS and body.count(b"{") + body.count(b"[") <= MAX_JSON_DEPTH:
        return
    structure = _STRING.sub(b"", body.replace(rb"\\", b"").replace(rb"\"", b""))
    brackets = structure.translate(_TO_BRACKETS, delete=_NOT_BRACKETS)
    key_count = max(structure.count(b":"), brackets.count(b"["))
    for _ in range(MAX_JSON_DEPTH):
        brackets = brackets.replace(b"[]", b"")  # one level, the innermost
    if brackets:
        raise MalformedRequest(
            f"The request body is not valid JSON, or it is nested more than {MAX_JSON_DEPTH} levels deep."
        )
    if key_count > MAX_JSON_KEYS:
        raise PayloadTooLarge(f"Send at most {MAX_JSON_KEYS} keys, and as many arrays and objects, in one request.")


def unknown_field(name: str) -> FieldError:
    """Returns the error for a field or parameter that the request must not have."""
    escaped = name.replace("~", "~0").replace("/", "~1")
    return FieldError(pointer=f"/{escaped}"[:200], detail="This field is not allowed here. Remove it.")


def _split_query(query: str) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_PARAMETERS)
    except (ValueError, UnicodeDecodeError):
        detail = f"Send the query string in UTF-8, percent-encoded, with at most {MAX_QUERY_PARAMETERS} parameters."
        raise MalformedRequest(detail) from None
    return pairs or [("", "")]


def _add_value(values: str | list[str] | None, value: str) -> str | list[str]:
    """Returns the values with another one: one alone, or several different ones, whose order is no matter."""
    if values is None or values == value:
        return value
    return sorted({value, *([values] if isinstance(values, str) else values)})


def _holds(annotation: Any, container: type) -> bool:
    """Whether the values of a field may be containers of this type."""
    origin = get_origin(annotation) or annotation
    return origin is container or any(_holds(part, container) for part in get_args(annotation))


def _invalid_query(errors: Sequence[FieldError]) -> MalformedRequest:
    return MalformedRequest("The query string is not valid. Correct the parameters in `errors`.", errors=errors)


def body_too_large(body_format: BodyFormat) -> PayloadTooLarge:
    """Returns the error for a body over its format's size."""
    mebibytes = body_format.max_bytes // MEBIBYTE
    return PayloadTooLarge(f"Send at most {mebibytes} MiB in the request body.")


@cache
def request_parser(route: Route) -> RequestParser:
    """Returns the parser of a route, which all edges in a process share: it keeps nothing of a request."""
    return RequestParser(route)


def _find_number_format(annotation: Any) -> NumberFormat | None:
    """Returns the format of a field that holds a number, or optionally one; None for other fields."""
    parts = get_args(annotation)
    if not parts:
        return _NUMBER_FORMATS.get(annotation)
    parts = parts[:1] if get_origin(annotation) is Annotated else parts
    return next((found for part in parts if (found := _find_number_format(part))), None)


def _create_model(request_model: type[Model], names: tuple[str, ...]) -> type[BaseModel]:
    """Returns a model of some fields only, which reads them from text."""
    model_fields = request_model.model_fields
    fields: Any = {name: (model_fields[name].annotation, model_fields[name]) for name in names}
    return create_model(f"{request_model.__name__}Path", __config__=ConfigDict(hide_input_in_errors=True), **fields)
