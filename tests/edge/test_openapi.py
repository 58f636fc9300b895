"""The OpenAPI document: valid, whole, and with examples that work."""

from typing import Any

import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from contracts.operation import AnyOperation
from edge.openapi.docs_site import documentation_pages
from edge.openapi.document import build_openapi, documented_path, failures_for_route
from edge.openapi.examples import REQUEST_EXAMPLES
from edge.openapi.schemas import schema_refs
from edge.router import PATH_PARAMETER
from edge.routes import BodyFormat, Route, all_routes

DOCUMENT = build_openapi()
EVERY = list(all_routes())


def test_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


@pytest.mark.parametrize(("path", "route"), EVERY, ids=[f"{route.method} {path}" for path, route in EVERY])
def test_describes_each_route_and_every_way_it_ends(path: str, route: Route) -> None:
    described = DOCUMENT["paths"][documented_path(path)][route.method.lower()]
    codes = {
        code
        for answer in described["responses"].values()
        for media in answer.get("content", {}).values()
        for code in media.get("examples", {})
    }
    assert codes == {kind.code for kind in failures_for_route(route)}
    assert str(int(route.status)) in described["responses"]
    in_path = {one["name"] for one in described["parameters"] if one["in"] == "path"}
    assert in_path == set(PATH_PARAMETER.findall(documented_path(path)))


def test_no_two_paths_differ_only_in_names() -> None:
    shapes = [PATH_PARAMETER.sub("{}", path) for path in DOCUMENT["paths"]]
    assert len(shapes) == len(set(shapes))


def test_links_lead_from_what_was_made_to_what_can_be_done_with_it() -> None:
    """Also from one service's answer to another's routes, from a list to its first, and to a key of another name."""

    def led(method: str, path: str, status: str) -> dict[str, dict[str, str]]:
        links = DOCUMENT["paths"][path][method]["responses"][status]["links"]
        return {name: link["parameters"] for name, link in links.items()}

    order = {"id": "$response.body#/id"}
    placed = led("post", "/api/v1/orders", "201")
    assert {"order_get", "order_pay", "order_cancel_delete"} <= placed.keys()
    assert placed["order_get"] == order
    assert led("post", "/api/v1/orders/{id}/pay", "202")["payment_refund"] == order
    assert led("get", "/api/v1/products", "200")["catalog_get_product"] == {"id": "$response.body#/items/0/id"}
    assert led("get", "/api/v1/inventory", "200")["catalog_adjust_stock"] == {"sku": "$response.body#/items/0/sku"}


@pytest.mark.parametrize(
    ("operation", "body"), REQUEST_EXAMPLES.items(), ids=lambda value: getattr(value, "subject", "")
)
def test_examples_are_valid(operation: AnyOperation, body: dict[str, Any]) -> None:
    routes = [route for _, route in EVERY if route.operation is operation]
    given = {"id": "019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44", "sku": "LAMP-BRASS"}
    path = {name: given[name] for name in PATH_PARAMETER.findall(routes[0].path)}
    operation.request.model_validate_json(orjson.dumps({**body, **path}))


def test_every_json_body_has_an_example() -> None:
    wanted = {route.operation for _, route in EVERY if route.body_format is BodyFormat.JSON}
    assert wanted == set(REQUEST_EXAMPLES)


def test_defines_what_it_refers_to_and_no_more() -> None:
    names = set(schema_refs(DOCUMENT))
    assert names == set(DOCUMENT["components"]["schemas"])


def test_requests_are_closed_and_replies_open() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["PlaceOrder"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["Order"]


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = documentation_pages()["/docs"]()
    assert isinstance(page.body, bytes)
    text = page.body.decode()
    assert "http://" not in text
    assert "https://" not in text
    assert "/*css*/" not in text
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
