"""OpenAPI 3.1 of everything that ROUTES offer, made from the contracts. `python -m edge.openapi.document` prints it."""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from http import HTTPStatus

import orjson

from contracts.failure import (
    Fail,
    IdempotencyKeyRequired,
    InvalidIdempotencyKey,
    InvalidRequest,
    InvalidToken,
    MalformedRequest,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    Problem,
    TooManyRequests,
    UnsupportedMediaType,
)
from contracts.identity import Access
from edge import routes
from edge.openapi.examples import REQUEST_EXAMPLES
from edge.openapi.links import Link, ResponseLinks
from edge.openapi.schemas import ComponentSchemas, Schema
from edge.responses import PROBLEM_CONTENT_TYPE
from edge.router import PATH_PARAMETER
from edge.routes import BodyFormat, Route

SERVICE_TAGS = {
    "user": ("Accounts", "Registering, signing in, one's own profile."),
    "catalog": ("Catalog", "Products, categories, pictures, stock and imports."),
    "cart": ("Carts", "Of guests and of customers; priced as of now."),
    "order": ("Orders", "From placed to delivered."),
    "payment": ("Payments", "Charges and refunds. A payment method is a token, never a card number."),
    "notification": ("Notifications", "What was sent to whom."),
}
STATUS_TAG = ("Shop", "Whether it is well.")

DESCRIPTION = """\
Money is an integer in minor units with its ISO 4217 currency, ids are UUIDv7, times are RFC 3339 in UTC.

* **Errors** are `application/problem+json` (RFC 9457). Branch on `code`, show `detail`, quote `request_id`.
* **Signing in** gives an access token for `Authorization: Bearer ...` (15 minutes) and a refresh token
  for the next pair.
* **Machines** send an API key (`souk_...`) in its place. An administrator makes it, with the scopes that it needs.
* **Retrying** a POST is safe with an `Idempotency-Key`: the first answer comes again, with `Idempotent-Replayed: true`.
* **Lists** go on with `?after=` set to the `next` of the page before.
* **Conflicts** are avoided with the `ETag` of what you read as `If-Match` of what you write.
* `X-Request-Id` and `traceparent` are taken from you or made, and go through every service.
* **Limits** are a customer's own, or an address's of who is not signed in. `RateLimit-Remaining` says what is left,
  and a 429 says in `Retry-After` when there is more. What a cache may keep for everybody says neither.
"""


def _limit(text: str, kind: str = "integer") -> Schema:
    return {"schema": {"type": kind}, "description": text}


RATE_LIMIT_HEADERS: Schema = {
    "Retry-After": _limit("Seconds until there is room for another request."),
    "RateLimit-Limit": _limit("Requests that may be made at once."),
    "RateLimit-Remaining": _limit("How many of them are left."),
    "RateLimit-Reset": _limit("Seconds until all of them are there again."),
    "RateLimit-Policy": _limit("The limit, and the seconds in which it is whole again.", "string"),
}

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token."},
    "api_key": {"type": "http", "scheme": "bearer", "description": "An API key, `souk_...`, with the scope named."},
}


def build_openapi() -> Schema:
    """The document."""
    every = [(documented_path(path), route) for path, route in routes.all_routes()]
    schemas = ComponentSchemas([route for _, route in every])
    names = _operation_ids([route for _, route in every])
    links = ResponseLinks(every, names)
    paths: dict[str, Schema] = defaultdict(dict)
    for path, route in every:
        paths[path][route.method.lower()] = _operation(path, route, names[route], schemas, links.for_route(route))
    used = schemas.reachable([paths])
    return {
        "openapi": "3.1.0",
        "info": {"title": "Souk", "version": "1", "summary": "A shop's HTTP API.", "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in (*SERVICE_TAGS.values(), STATUS_TAG)],
        "paths": {**paths, **_health()},
        "components": {
            "schemas": {name: schemas.definitions[name] for name in sorted(used)},
            "headers": RATE_LIMIT_HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _operation_ids(every: Iterable[Route]) -> dict[Route, str]:
    """`order_place`; an operation with two routes names their methods too."""
    ordered = list(every)
    uses = Counter(route.operation.subject for route in ordered)

    def name(route: Route) -> str:
        plain = f"{route.operation.service}_{route.operation.name}"
        return plain if uses[route.operation.subject] == 1 else f"{plain}_{route.method.lower()}"

    return {route: name(route) for route in ordered}


def documented_path(path: str) -> str:
    """Paths that differ only in a parameter's name are one path to OpenAPI: the document has the last."""
    shape = PATH_PARAMETER.sub("{}", path)
    return [other for other, _ in routes.all_routes() if PATH_PARAMETER.sub("{}", other) == shape][-1]


def _operation(path: str, route: Route, name: str, schemas: ComponentSchemas, links: dict[str, Link]) -> Schema:
    operation = route.operation
    said: Schema = {
        "operationId": name,
        "tags": [SERVICE_TAGS[operation.service][0]],
        "summary": operation.summary,
        "parameters": [*_parameters(path, route, schemas), *_header_parameters(route)],
        "responses": {**_success(route, schemas, links), **_failures(route)},
        "security": _security(route),
    }
    if route.body_format is not BodyFormat.NONE:
        said["requestBody"] = _body(route, schemas)
    if operation.access is Access.ADMIN:
        said["description"] = "For administrators."
    return said


def _security(route: Route) -> list[Schema]:
    """Who may ask, in the order in which it is shown: anybody, people, machines with a scope."""
    operation = route.operation
    found: list[Schema] = [{}] if operation.access is Access.ANYONE else []
    found.append({"bearer": []})
    if operation.open_to_api_keys:
        found.append({"api_key": [] if operation.is_public else [operation.scope.value]})
    return found


def _parameters(path: str, route: Route, schemas: ComponentSchemas) -> list[Schema]:
    in_path = dict(zip(PATH_PARAMETER.findall(route.path), PATH_PARAMETER.findall(path), strict=True))
    fields, required = schemas.fields(route)
    wanted = fields if route.body_format is BodyFormat.NONE else in_path
    return [
        {
            "name": in_path.get(name, name),
            "in": "path" if name in in_path else "query",
            "required": name in in_path or name in required,
            "schema": {key: value for key, value in fields[name].items() if key != "description"},
            **({"description": fields[name]["description"]} if "description" in fields[name] else {}),
        }
        for name in wanted
    ]


def _header_parameters(route: Route) -> list[Schema]:
    found = []
    if route.method == "POST":
        found.append(
            _header(
                "Idempotency-Key",
                "Names this request: sent again with the same body it has its effect once. Kept for 24 hours.",
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
            )
        )
    if PreconditionFailed in route.operation.failures:
        text = "The ETag of what was read; refused with 412 when it has changed since."
        found.append(_header("If-Match", text, {"type": "string", "examples": ['"7"']}))
    return found


def _header(name: str, text: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "required": False, "description": text, "schema": schema}


def _body(route: Route, schemas: ComponentSchemas) -> Schema:
    schema = schemas.body(route)
    if route.body_format is BodyFormat.CSV:
        return {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}
    if route.body_format is BodyFormat.IMAGE:
        fields, _ = schemas.fields(route)
        others = {name: fields[name] for name in fields if name not in {*PATH_PARAMETER.findall(route.path), "upload"}}
        picture = {"type": "string", "contentMediaType": "image/*", "description": "JPEG, PNG or WebP, up to 10 MiB."}
        form = {"type": "object", "properties": {"image": picture, **others}, "required": ["image"]}
        return {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    media: Schema = {"schema": schema}
    if (example := REQUEST_EXAMPLES.get(route.operation)) is not None:
        media["example"] = example
    needed = bool(schemas.required_in_body(route))
    return {"required": needed, "content": {"application/json": media}}


def _success(route: Route, schemas: ComponentSchemas, links: dict[str, Link]) -> Schema:
    headers = {"X-Request-Id": {"schema": {"type": "string"}, "description": "Names this request in logs."}}
    if route.location:
        headers["Location"] = {"schema": {"type": "string"}, "description": "Where it is found."}
    if route.operation.writes and route.method == "POST":
        headers["Idempotent-Replayed"] = {
            "schema": {"type": "string", "enum": ["true"]},
            "description": "The answer was given before, to the same Idempotency-Key.",
        }
    if PreconditionFailed in route.operation.failures or route.operation.reply.__name__ in {"Product", "Cart", "Order"}:
        headers["ETag"] = {"schema": {"type": "string"}, "description": "The version."}
    said: Schema = {"description": HTTPStatus(route.status).phrase, "headers": headers}
    if links:
        said["links"] = links
    found = {str(int(route.status)): said}
    if route.status is not HTTPStatus.NO_CONTENT:
        schema = schemas.reply(route.operation.reply) if route.content_type == "application/json" else {}
        said["content"] = {route.content_type: {"schema": schema}}
    if "ETag" in headers and route.method == "GET" and not route.is_unversioned:
        found["304"] = {"description": "Not changed since the version that If-None-Match names."}
    return found


def _failures(route: Route) -> Schema:
    by_status: dict[int, list[type[Fail]]] = defaultdict(list)
    for kind in sorted(failures_for_route(route), key=lambda kind: kind.code):
        by_status[int(kind.status)].append(kind)
    return {str(status): _failure(kinds) for status, kinds in sorted(by_status.items())}


def failures_for_route(route: Route) -> frozenset[type[Fail]]:
    """Every way that a request of this route can be refused, by the service or by the edge."""
    found = {*route.operation.all_failures(), InvalidToken}
    if route.body_format is BodyFormat.NONE and InvalidRequest not in route.operation.failures:
        found.discard(InvalidRequest)
    found.add(MalformedRequest)
    if PATH_PARAMETER.search(route.path):
        found.add(NotFound)
    if route.body_format is not BodyFormat.NONE:
        found |= {PayloadTooLarge, UnsupportedMediaType}
    if route.method == "POST":
        found.add(InvalidIdempotencyKey)
    if route.moves_money:
        found.add(IdempotencyKeyRequired)
    found.add(TooManyRequests)
    return frozenset(found)


def _failure(kinds: list[type[Fail]]) -> Schema:
    """One answer a status, with an example of each of its codes."""
    codes = {"type": "object", "properties": {"code": {"enum": [kind.code for kind in kinds]}}}
    media = {
        "schema": {"allOf": [{"$ref": f"#/components/schemas/{Problem.__name__}"}, codes]},
        "examples": {kind.code: {"value": _example(kind)} for kind in kinds},
    }
    text = "\n".join(f"* `{kind.code}` {kind.title()}" for kind in kinds)
    limits = {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in RATE_LIMIT_HEADERS}}
    return {
        "description": text,
        **(limits if TooManyRequests in kinds else {}),
        "content": {PROBLEM_CONTENT_TYPE: media},
    }


def _example(kind: type[Fail]) -> Schema:
    return kind().to_problem("019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44").model_dump(mode="json", exclude_none=True)


def _health() -> dict[str, Schema]:
    def get(name: str, summary: str, *statuses: int) -> Schema:
        content = {"application/json": {"schema": {"type": "object"}}}
        answers = {str(status): {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
        return {
            "get": {
                "operationId": name,
                "tags": [STATUS_TAG[0]],
                "summary": summary,
                "security": [{}],
                "responses": answers,
            }
        }

    return {
        "/healthz": get("healthz", "Whether the edge lives", 200),
        "/readyz": get("readyz", "Every service and store by name; 503 when one is not ready", 200, 503),
    }


def main() -> None:
    sys.stdout.buffer.write(orjson.dumps(build_openapi(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
