"""Builds the OpenAPI 3.1 document of all routes from the contracts. `souk docs` writes it."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from edge import routes
from edge.openapi.errors import ErrorResponses
from edge.openapi.headers import REQUEST_HEADERS, RESPONSE_HEADERS
from edge.openapi.links import ResponseLinks
from edge.openapi.operations import SERVICE_TAGS, OperationWriter
from edge.openapi.schemas import ComponentSchemas, Schema
from edge.router import PATH_PARAMETER
from edge.routes import ORDER_ACCESS_HEADER, Route

STATUS_TAG = ("Status", "The health of the shop.")

DESCRIPTION = """\
Money is an integer in minor units, such as cents, with an ISO 4217 currency. Ids are UUIDs. Times are RFC 3339 in UTC.

* **Errors** are `application/problem+json` (RFC 9457). Branch on `code`, show `detail`, quote `request_id`.
* **Sign in** to get an access token, valid for 15 minutes, and a refresh token for the next pair of tokens.
  Send the access token as `Authorization: Bearer ...`.
* **Guests** get an `access_token` with their order and send it as `Order-Access: ...` to read, pay, confirm and cancel
  that order. Keep it as secret as a password.
* **Machines** send an API key (`souk_...`) in place of the token. An administrator makes it, with the scopes it needs.
* **Retry** a POST safely with an `Idempotency-Key`: you get the first response again, with
  `Idempotent-Replayed: true`.
* **Page** through a list by sending the `next` of one page as `after` of the next request.
* **Avoid lost updates**: send the `ETag` that you read as `If-Match` of your write.
* **Follow** an order by server-sent events; a browser puts a ticket into the address.
* **Trace** requests by `X-Request-Id` and `traceparent`: send your own, or read those of the response.
* **Rate limits** count per customer, or per address for guests. `RateLimit-Remaining` says how many requests are left;
  a 429 says in `Retry-After` when to try again. Publicly cached responses carry neither.
"""

SERVER: Schema = {
    "url": "{origin}",
    "description": "The shop.",
    "variables": {
        "origin": {
            "default": "http://127.0.0.1:8080",
            "description": "Scheme, host and port, such as https://souk.example.",
        }
    },
}
SECURITY_SCHEMES: Schema = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token."},
    "api_key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, `souk_...`, that has the scope shown with the operation.",
    },
    "order_access": {
        "type": "apiKey",
        "in": "header",
        "name": ORDER_ACCESS_HEADER,
        "description": "A guest's order: the `access_token` that came with it. It opens that order and its payments.",
    },
}
STATUS_SCHEMAS: dict[str, Schema] = {
    "EdgeHealth": {
        "type": "object",
        "description": "The edge is running.",
        "properties": {"status": {"type": "string", "const": "ok", "description": "Always `ok`."}},
        "required": ["status"],
    },
    "Readiness": {
        "type": "object",
        "description": "The state of the shop.",
        "properties": {
            "ready": {"type": "boolean", "description": "Whether every service and store is ready."},
            "services": {
                "type": "object",
                "description": "The state of each store by service: `ok`, or what is wrong with it.",
                "additionalProperties": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "required": ["ready", "services"],
    },
}


def build_openapi() -> Schema:
    """Returns the document."""
    documented = [(documented_path(path), route) for path, route in routes.all_routes()]
    schemas = ComponentSchemas([route for _, route in documented])
    operation_ids = _operation_ids([route for _, route in documented])
    errors = ErrorResponses(operation_ids)
    writer = OperationWriter(schemas, errors, ResponseLinks(documented, operation_ids), operation_ids)
    paths: dict[str, Schema] = defaultdict(dict)
    for path, route in documented:
        paths[path][route.method.lower()] = writer.operation(path, route)
    responses = errors.components()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Souk",
            "version": "1",
            "summary": "The HTTP API of a shop.",
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
            "contact": {"name": "The Souk authors"},
        },
        "servers": [SERVER],
        "tags": [{"name": name, "description": text} for name, text in (*SERVICE_TAGS.values(), STATUS_TAG)],
        "paths": {**paths, **_status_paths()},
        "components": {
            "schemas": {**schemas.used_by([paths, responses]), **STATUS_SCHEMAS},
            "responses": responses,
            "examples": {**writer.examples, **errors.examples()},
            "parameters": {**REQUEST_HEADERS, **writer.parameters},
            "headers": RESPONSE_HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def documented_path(path: str) -> str:
    """Returns the path that the document shows. OpenAPI treats paths that differ only in a parameter's name as one; the
    document uses the last of them.
    """
    shape = PATH_PARAMETER.sub("{}", path)
    return [other for other, _ in routes.all_routes() if PATH_PARAMETER.sub("{}", other) == shape][-1]


def _operation_ids(all_routes: Iterable[Route]) -> dict[Route, str]:
    """`order_place`; an operation with two routes also has the method in its ids."""
    ordered = list(all_routes)
    uses = Counter(route.operation.subject for route in ordered)

    def operation_id(route: Route) -> str:
        name = f"{route.operation.service}_{route.operation.name}"
        return name if uses[route.operation.subject] == 1 else f"{name}_{route.method.lower()}"

    return {route: operation_id(route) for route in ordered}


def _status_paths() -> dict[str, Schema]:
    ready = {"ready": True, "services": {"edge": {"nats": "ok"}, "order": {"postgres": "ok"}}}
    not_ready = {"ready": False, "services": {"edge": {"nats": "ok"}, "order": {"service": "unavailable"}}}
    edge_responses = {"200": _status_response("The edge is running.", "EdgeHealth", {"status": "ok"})}
    shop_responses = {
        "200": _status_response("Every service is ready.", "Readiness", ready),
        "503": _status_response("At least one service or store is not ready.", "Readiness", not_ready),
    }
    return {
        "/healthz": {"get": _status_operation("healthz", "Check whether the edge is running", edge_responses)},
        "/readyz": {"get": _status_operation("readyz", "Check every service and its stores", shop_responses)},
    }


def _status_operation(operation_id: str, summary: str, responses: Schema) -> Schema:
    return {
        "operationId": operation_id,
        "tags": [STATUS_TAG[0]],
        "summary": summary,
        "description": "Needs no sign-in.",
        "security": [{}],
        "parameters": [],
        "responses": responses,
    }


def _status_response(text: str, schema: str, example: Schema) -> Schema:
    media = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}
    return {"description": text, "content": {"application/json": media}}
