"""The OpenAPI document: valid, whole, and with examples that work."""

from typing import Any

import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from contracts.operation import AnyOperation
from edge.examples import EXAMPLES
from edge.openapi import failures_of, openapi
from edge.router import PARAMETER
from edge.routes import Media, Route, every
from edge.schemas import refs
from edge.site import documents

DOCUMENT = openapi()
EVERY = list(every())


def test_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


@pytest.mark.parametrize(("path", "route"), EVERY, ids=[f"{route.method} {path}" for path, route in EVERY])
def test_describes_each_route_and_every_way_it_ends(path: str, route: Route) -> None:
    described = DOCUMENT["paths"][path][route.method.lower()]
    codes = {
        code
        for answer in described["responses"].values()
        for media in answer.get("content", {}).values()
        for code in media.get("examples", {})
    }
    assert codes == {kind.code for kind in failures_of(route)}
    assert str(int(route.status)) in described["responses"]
    in_path = {one["name"] for one in described["parameters"] if one["in"] == "path"}
    assert in_path == set(PARAMETER.findall(path))


@pytest.mark.parametrize(("operation", "body"), EXAMPLES.items(), ids=lambda value: getattr(value, "subject", ""))
def test_examples_are_valid(operation: AnyOperation, body: dict[str, Any]) -> None:
    routes = [route for _, route in EVERY if route.operation is operation]
    given = {"id": "019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44", "sku": "LAMP-BRASS"}
    path = {name: given[name] for name in PARAMETER.findall(routes[0].path)}
    operation.request.model_validate_json(orjson.dumps({**body, **path}))


def test_every_json_body_has_an_example() -> None:
    wanted = {route.operation for _, route in EVERY if route.media is Media.JSON}
    assert wanted == set(EXAMPLES)


def test_defines_what_it_refers_to_and_no_more() -> None:
    names = set(refs(DOCUMENT))
    assert names == set(DOCUMENT["components"]["schemas"])


def test_requests_are_closed_and_replies_open() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["PlaceOrder"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["Order"]


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = documents()["/docs"]()
    assert isinstance(page.body, bytes)
    text = page.body.decode()
    assert "http://" not in text
    assert "https://" not in text
    assert "/*css*/" not in text
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
