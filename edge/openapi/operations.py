"""The operations of the OpenAPI document: what one route takes and returns, and who may call it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from contracts import catalog, order
from contracts.access import access_rules
from contracts.identity import Access
from contracts.model import CURSOR_PATTERN
from contracts.operation import AnyOperation, OwnedResource
from edge.openapi.errors import ErrorResponses
from edge.openapi.event_examples import EVENT_STREAM_EXAMPLE, EVENT_STREAM_SENTENCE
from edge.openapi.headers import header_refs, request_headers, response_headers
from edge.openapi.links import ResponseLinks
from edge.openapi.reply_examples import reply_example
from edge.openapi.request_examples import REQUEST_EXAMPLES, parameter_example
from edge.openapi.schemas import ComponentSchemas, Schema
from edge.request_parsing import EDGE_FIELDS
from edge.router import PATH_PARAMETER
from edge.routes import BodyFormat, Route

SERVICE_TAGS = {
    "user": ("Accounts", "Registration, sign-in, profiles, sessions, addresses and API keys."),
    "catalog": ("Catalog", "Products, categories, images, stock and imports."),
    "cart": ("Carts", "The carts of guests and customers, at current prices."),
    "order": ("Orders", "Orders from placed to delivered."),
    "payment": (
        "Payments",
        "Charges, refunds and gift cards. A payment method is a provider's token, never a card number.",
    ),
    "notification": ("Notifications", "The messages sent to customers."),
}
ACCESS_SENTENCES = {
    Access.ANYONE: "Needs no sign-in.",
    Access.CUSTOMER: "Needs a signed-in user.",
    Access.ADMIN: "For administrators.",
}
SHARED_PARAMETERS = {"act", "actor", "after", "id", "limit", "sku", "subject"}
CSV = "text/csv"
EXPORT_SENTENCES = {
    catalog.EXPORT_PRODUCTS: (
        "Products that change during the export are in the file as they were before or after. If the export fails "
        "after its beginning, the connection is broken off: a response without its end is not the whole file. "
        "Before the file is imported again, remove its quantities unless they are to be set: the shop may have "
        "sold some units since."
    ),
    order.EXPORT_ORDERS: (
        "Orders that change during the export are in the file as they were before or after. If the export fails "
        "after its beginning, the connection is broken off: a response without its end is not the whole file."
    ),
}
EXPORT_EXAMPLES = {
    catalog.EXPORT_PRODUCTS: "Title,URL handle,SKU,Price\r\nBrass lamp,brass-lamp,LAMP-BRASS,19.99\r\n",
    order.EXPORT_ORDERS: "number,status,items,currency,total\r\nS-6180339966,paid,2 x LAMP-BRASS,USD,39.98\r\n",
}
CSV_BODIES: Mapping[AnyOperation, tuple[str, str]] = {
    catalog.START_IMPORT: (
        "A product CSV as Shopify or WooCommerce exports it.",
        "Handle,Title,Variant SKU,Variant Price\nbrass-lamp,Brass lamp,LAMP-BRASS,19.99\n",
    ),
    catalog.IMPORT_INVENTORY: (
        f"A CSV with the units on hand of at most {catalog.MAX_INVENTORY_LINES} SKUs. `reason` may be left out.",
        "sku,quantity,reason\nLAMP-BRASS,12,counted\n",
    ),
}
"""What a body that is a file holds, and an example."""


class OperationWriter:
    """Writes the operations of routes. `operation_ids` are those of all routes."""

    def __init__(
        self,
        schemas: ComponentSchemas,
        errors: ErrorResponses,
        links: ResponseLinks,
        operation_ids: Mapping[Route, str],
    ) -> None:
        self._schemas = schemas
        self._errors = errors
        self._links = links
        self._operation_ids = operation_ids
        self.examples: dict[str, Schema] = {}
        """The examples of replies, for `components/examples`."""
        self.parameters: dict[str, Schema] = {}
        """The parameters that several routes share, for `components/parameters`."""

    def operation(self, path: str, route: Route) -> Schema:
        """Returns the operation of a route at its documented path."""
        body = {} if route.body_format is BodyFormat.NONE else {"requestBody": self._body(route)}
        return {
            "operationId": self._operation_ids[route],
            "tags": [SERVICE_TAGS[route.operation.service][0]],
            "summary": route.operation.summary,
            "description": describe(route),
            "security": _security(route.operation),
            "parameters": [*self._parameters(path, route), *request_headers(route)],
            **body,
            "responses": {**self._success(route), **self._errors.for_route(route)},
        }

    def _parameters(self, path: str, route: Route) -> list[Schema]:
        documented: dict[str, str] = dict(
            zip(PATH_PARAMETER.findall(route.path), PATH_PARAMETER.findall(path), strict=True)
        )
        fields, required = self._schemas.fields(route)
        takes_query = route.body_format in {BodyFormat.NONE, BodyFormat.CSV}
        names = [name for name in fields if name not in EDGE_FIELDS] if takes_query else list(documented)
        described = [
            {
                "name": documented.get(name, name),
                "in": "path" if name in documented else "query",
                "required": name in documented or name in required,
                "description": fields[name].get("description", "The id."),
                "schema": _parameter_schema(name, fields[name]),
                "example": parameter_example(route.operation, documented.get(name, name)),
            }
            for name in names
        ]
        return [self._share(parameter) for parameter in described]

    def _share(self, parameter: Schema) -> Schema:
        """Returns a reference to the shared parameter of this name, if it is the same. Of ids, the UUIDs are shared."""
        is_other_id = parameter["name"] == "id" and parameter["schema"].get("format") != "uuid"
        if parameter["name"] not in SHARED_PARAMETERS or is_other_id:
            return parameter
        name = parameter["name"].capitalize()
        if self.parameters.setdefault(name, parameter) != parameter:
            return parameter
        return {"$ref": f"#/components/parameters/{name}"}

    def _body(self, route: Route) -> Schema:
        if route.body_format is BodyFormat.CSV:
            description, example = CSV_BODIES[route.operation]
            media: Schema = {"schema": {"type": "string"}, "example": example}
            return {
                "description": description,
                "required": True,
                "content": {"text/csv": media},
            }
        media = {"schema": self._schemas.body(route)}
        if route.operation in REQUEST_EXAMPLES:
            media["example"] = REQUEST_EXAMPLES[route.operation]
        required = bool(self._schemas.required_in_body(route)) or route.body_format is BodyFormat.IMAGE
        return {"required": required, "content": {route.body_format.value: media}}

    def _success(self, route: Route) -> Schema:
        reply = route.operation.reply
        response: Schema = {"description": HTTPStatus(route.status).phrase, "headers": response_headers(route)}
        if links := self._links.for_route(route):
            response["links"] = links
        if route.content_type == CSV:
            response["content"] = {CSV: {"schema": {"type": "string"}, "example": EXPORT_EXAMPLES[route.operation]}}
        elif route.operation is order.FOLLOW:
            response["content"] = {route.content_type: {"schema": {"type": "string"}, "example": EVENT_STREAM_EXAMPLE}}
        elif route.content_type != "application/json":
            response["content"] = {route.content_type: {"schema": {"type": "string", "format": "binary"}}}
        elif route.status is not HTTPStatus.NO_CONTENT:
            self.examples[reply.__name__] = {"value": reply_example(reply)}
            example = {"$ref": f"#/components/examples/{reply.__name__}"}
            media = {"schema": self._schemas.reply(reply), "examples": {"success": example}}
            response["content"] = {"application/json": media}
        responses = {str(int(route.status)): response}
        if "ETag" in response["headers"] and route.method == "GET":
            responses["304"] = {"description": "The response would be the one whose ETag is in If-None-Match."}
        if route.operation is order.FOLLOW:
            responses["204"] = {"description": "The client has received every event, and no other can follow."}
        if route.operation is catalog.GET_PRODUCT:
            text = "The product has another slug now: `Location` is its path."
            responses["301"] = {"description": text, "headers": header_refs("X-Request-Id", "Location")}
        return responses


def describe(route: Route) -> str:
    """Says who may call a route, on which resources, and with which API key."""
    operation = route.operation
    sentences = [ACCESS_SENTENCES[operation.access], *map(_describe_resource, operation.owned_resources)]
    if operation.open_to_order_tokens:
        sentences.append("A guest sends the order's `access_token` as `Order-Access`.")
    if any(rule.needs_scope for rule in access_rules(operation)):
        sentences.append(f"An API key needs the scope `{operation.scope}`.")
    elif operation.ignores_tokens:
        sentences.append("The `Authorization` header is not read.")
    elif not operation.open_to_api_keys:
        sentences.append("Closed to API keys.")
    if operation is order.FOLLOW:
        sentences.append(EVENT_STREAM_SENTENCE)
    if operation in EXPORT_SENTENCES:
        sentences.append(EXPORT_SENTENCES[operation])
    if route.moves_money:
        sentences.append("It moves money: send an `Idempotency-Key`, which the shop can be set to require.")
    return " ".join(sentences)


def _describe_resource(resource: OwnedResource) -> str:
    name = resource.name
    if resource.open_to_guests:
        return f"A customer's {name} is open only to that customer, a guest's {name} to any caller with its id."
    if resource.open_to_admins:
        return f"Customers reach only their own {name}; administrators reach all users'."
    return f"It concerns only the caller's own {name}."


def _security(operation: AnyOperation) -> list[Schema]:
    """The ways to authenticate, in the order in which they are shown: none, an access token, a guest's, an API key."""
    if operation.ignores_tokens:
        return []
    ways: list[Schema] = [{}] if operation.access is Access.ANYONE else []
    ways.append({"bearer": []})
    if operation.open_to_order_tokens:
        ways.append({"order_access": []})
    if operation.open_to_api_keys:
        ways.append({"api_key": [] if operation.is_public else [operation.scope.value]})
    return ways


def _parameter_schema(name: str, field: Schema) -> Schema:
    """A parameter cannot be null: it is left out instead. A cursor may be empty, and a time may be a date.

    Of an object, each property is a parameter of its own, which begins with the object's name.
    """
    schema: dict[str, Any] = {key: value for key, value in field.items() if key != "description"}
    if schema.get("type") == "object":
        size = schema["propertyNames"]["maxLength"]
        return {**schema, "propertyNames": {"pattern": rf"^{name}\.[^\x00-\x1f\x7f]{{1,{size}}}$"}}
    choices = [choice for choice in schema.pop("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        schema.update(choices.pop())
    if schema.get("pattern") == CURSOR_PATTERN:
        schema["pattern"] = CURSOR_PATTERN.replace("+$", "*$")
    if schema.get("format") == "date-time":
        choices = [{"type": "string", "format": schema.pop("format")}, {"type": schema.pop("type"), "format": "date"}]
    return {**schema, "anyOf": choices} if choices else schema
