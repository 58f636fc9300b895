"""The OpenAPI document is valid and complete, its examples work, and client generators can use it."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import orjson
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from contracts.operation import AnyOperation
from edge.openapi.docs_site import documentation_pages
from edge.openapi.document import build_openapi, documented_path
from edge.openapi.errors import failures_for_route
from edge.openapi.reply_examples import reply_example
from edge.openapi.request_examples import DEMO_SKU, EXAMPLE_ID, REQUEST_EXAMPLES
from edge.router import PATH_PARAMETER
from edge.routes import BodyFormat, Route, all_routes
from infra.contract_tools.json_schema import schema_refs
from infra.ops.cli import demo

DOCUMENT = build_openapi()
ROUTES = list(all_routes())
ROUTE_IDS = [f"{route.method} {path}" for path, route in ROUTES]
OPERATIONS = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]
SCHEMAS: dict[str, dict[str, Any]] = DOCUMENT["components"]["schemas"]
MAX_BYTES = 600_000
MAX_SCHEMAS = 200
VAGUE_NAMES = {"Change", "Entry", "Kind", "Outcome", "Page", "Row", "Scope", "Sort", "State", "Status", "Type"}
REFUSED_ESCAPE = re.compile(r"\\[^\^$\\.*+?()\[\]{}|/bBcdDfnrsStuvwWxkpP0-9-]")
"""An escape that ECMAScript refuses in `u` mode, where only these characters may follow a backslash."""


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        place: Any = DOCUMENT
        for step in node["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        node = place
    return node


def described(path: str, route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = DOCUMENT["paths"][documented_path(path)][route.method.lower()]
    return operation


def nodes_in(value: object) -> Iterator[dict[str, Any]]:
    """Yields every object in a JSON value."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes_in(inner)


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": {"schemas": SCHEMAS}})


def test_document_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


@pytest.mark.parametrize(("path", "route"), ROUTES, ids=ROUTE_IDS)
def test_describes_each_route_and_every_way_it_ends(path: str, route: Route) -> None:
    operation = described(path, route)
    errors = [resolve(response) for status, response in operation["responses"].items() if status >= "400"]
    codes = {code for error in errors for media in error["content"].values() for code in media["examples"]}
    assert codes == {failure.code for failure in failures_for_route(route)}
    assert str(int(route.status)) in operation["responses"]
    parameters = map(resolve, operation["parameters"])
    in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
    assert in_path == set(PATH_PARAMETER.findall(documented_path(path)))


@pytest.mark.parametrize(("path", "route"), ROUTES, ids=ROUTE_IDS)
def test_parameters_have_descriptions_and_valid_examples(path: str, route: Route) -> None:
    for parameter in map(resolve, described(path, route)["parameters"]):
        assert parameter["description"], parameter["name"]
        validator(parameter["schema"]).validate(parameter["example"])


@pytest.mark.parametrize(("path", "route"), ROUTES, ids=ROUTE_IDS)
def test_success_has_a_valid_example(path: str, route: Route) -> None:
    success = described(path, route)["responses"][str(int(route.status))]
    if "application/json" not in success.get("content", {}):
        assert route.status == 204 or route.content_type != "application/json"
        return
    media = success["content"]["application/json"]
    example = resolve(media["examples"]["success"])["value"]
    assert example == reply_example(route.operation.reply)
    validator(media["schema"]).validate(example)
    route.operation.reply.model_validate_json(orjson.dumps(example))


def test_no_two_paths_differ_only_in_parameter_names() -> None:
    shapes = [PATH_PARAMETER.sub("{}", path) for path in DOCUMENT["paths"]]
    assert len(shapes) == len(set(shapes))


def test_links_lead_to_what_can_be_done_next() -> None:
    """Links cross services, start at the first item of a list, and fill a path parameter of another name."""

    def link_parameters(method: str, path: str, status: str) -> dict[str, dict[str, str]]:
        links = DOCUMENT["paths"][path][method]["responses"][status]["links"]
        return {name: link["parameters"] for name, link in links.items()}

    by_id = {"id": "$response.body#/id"}
    after_placing = link_parameters("post", "/api/v1/orders", "201")
    assert {"order_get", "order_pay", "order_cancel_delete"} <= after_placing.keys()
    assert after_placing["order_get"] == by_id
    assert link_parameters("post", "/api/v1/orders/{id}/pay", "202")["payment_refund"] == by_id
    products = link_parameters("get", "/api/v1/products", "200")
    assert products["catalog_get_product"] == {"id": "$response.body#/items/0/id"}
    stock = link_parameters("get", "/api/v1/inventory", "200")
    assert stock["catalog_adjust_stock"] == {"sku": "$response.body#/items/0/sku"}


@pytest.mark.parametrize(
    ("operation", "body"), REQUEST_EXAMPLES.items(), ids=lambda value: getattr(value, "subject", "")
)
def test_request_examples_are_valid(operation: AnyOperation, body: dict[str, Any]) -> None:
    route = next(route for _, route in ROUTES if route.operation is operation)
    path_values = {"id": EXAMPLE_ID, "image_id": EXAMPLE_ID, "sku": DEMO_SKU}
    path_params = {name: path_values[name] for name in PATH_PARAMETER.findall(route.path)}
    operation.request.model_validate_json(orjson.dumps({**body, **path_params}))


def test_every_json_body_has_an_example() -> None:
    with_body = {route.operation for _, route in ROUTES if route.body_format is BodyFormat.JSON}
    assert with_body == set(REQUEST_EXAMPLES)


def test_defines_exactly_what_it_refers_to() -> None:
    assert set(schema_refs(DOCUMENT)) == set(SCHEMAS)
    references = {node["$ref"] for node in nodes_in(DOCUMENT) if isinstance(node.get("$ref"), str)}
    for group in ("responses", "examples", "parameters", "headers"):
        defined = {f"#/components/{group}/{name}" for name in DOCUMENT["components"][group]}
        assert defined == {reference for reference in references if reference.startswith(f"#/components/{group}/")}


def test_requests_are_closed_and_replies_open() -> None:
    assert SCHEMAS["PlaceOrder"]["additionalProperties"] is False
    assert "additionalProperties" not in SCHEMAS["Order"]


def test_document_is_small() -> None:
    assert len(orjson.dumps(DOCUMENT)) < MAX_BYTES
    assert len(SCHEMAS) < MAX_SCHEMAS


def test_schema_names_suit_generated_clients() -> None:
    assert "OrderList" in SCHEMAS
    assert [name for name in SCHEMAS if not re.fullmatch(r"([A-Z][a-z0-9]+)+", name) or name in VAGUE_NAMES] == []


def test_everything_has_a_description() -> None:
    assert [operation["operationId"] for operation in OPERATIONS if not operation["description"]] == []
    assert [name for name, schema in SCHEMAS.items() if not schema.get("description")] == []
    undescribed = [
        f"{name}.{field}"
        for name, schema in SCHEMAS.items()
        for field, value in schema.get("properties", {}).items()
        if not value.get("description") and "$ref" not in value
    ]
    assert undescribed == []


def test_patterns_are_valid_in_python_and_ecmascript() -> None:
    patterns = {node["pattern"] for node in nodes_in(DOCUMENT) if isinstance(node.get("pattern"), str)}
    assert patterns
    for pattern in patterns:
        re.compile(pattern)
        assert not REFUSED_ESCAPE.search(pattern), pattern


def test_schemas_avoid_what_generators_misread() -> None:
    for schema in SCHEMAS.values():
        for node in nodes_in(schema):
            assert "patternProperties" not in node
            assert node.get("default", ...) is not None


def test_replies_require_fields_that_are_always_present() -> None:
    assert set(SCHEMAS["Order"]["required"]) == set(SCHEMAS["Order"]["properties"])
    assert set(SCHEMAS["OrderList"]["required"]) == {"items", "next"}
    assert set(SCHEMAS["AddressInput"]["required"]) < set(SCHEMAS["Address"]["required"])


def test_email_has_a_format() -> None:
    assert SCHEMAS["User"]["properties"]["email"]["format"] == "email"


def test_names_license_contact_and_server() -> None:
    assert DOCUMENT["info"]["license"]["identifier"] == "MIT"
    assert DOCUMENT["info"]["contact"]["name"]
    (server,) = DOCUMENT["servers"]
    assert set(re.findall(r"{(\w+)}", server["url"])) == set(server["variables"])


def test_examples_order_what_the_demo_sells() -> None:
    catalog = tomllib.loads((Path(demo.__file__).parent / "demo_catalog.toml").read_text())
    sold = {variant["sku"] for product in catalog["products"] for variant in product.get("variants", [product])}
    assert DEMO_SKU in sold


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = documentation_pages()["/docs"](Mock(header_lines=lambda _name: []))
    assert isinstance(page.body, bytes)
    text = page.body.decode()
    assert "http://" not in text
    assert "https://" not in text
    assert "/*css*/" not in text
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
