"""Which handler a path leads to."""

import pytest

from edge.router import NoRouteMatch, RouteMatch, Router
from edge.routes import all_routes

ROUTER = Router((route.method, path, f"{route.method} {path}") for path, route in all_routes())
PRODUCT = "/api/v1/products/brass-lamp"


@pytest.mark.parametrize(
    ("method", "raw_path", "handler", "path_params"),
    [
        ("GET", "/api/v1/products", "GET /api/v1/products", {}),
        ("HEAD", "/api/v1/products", "GET /api/v1/products", {}),
        ("GET", "/api/v1/products/search", "GET /api/v1/products/search", {}),
        ("GET", PRODUCT, "GET /api/v1/products/{key}", {"key": "brass-lamp"}),
        ("GET", "/api/v1/products/import/7", "GET /api/v1/products/import/{id}", {"id": "7"}),
        ("PUT", "/api/v1/products/7", "PUT /api/v1/products/{id}", {"id": "7"}),
        ("GET", "/api/v1/inventory/A/B.1", "GET /api/v1/inventory/{sku}", {"sku": "A/B.1"}),
        ("GET", "/api/v1/inventory/A%2FB", "GET /api/v1/inventory/{sku}", {"sku": "A/B"}),
        ("GET", "/api/v1/inventory/A/adjustments", "GET /api/v1/inventory/{sku}", {"sku": "A/adjustments"}),
        ("POST", "/api/v1/inventory/A/B/adjustments", "POST /api/v1/inventory/{sku}/adjustments", {"sku": "A/B"}),
        ("PUT", "/api/v1/carts/c/items/A/B", "PUT /api/v1/carts/{id}/items/{sku}", {"id": "c", "sku": "A/B"}),
        ("POST", "/api/v1/carts/mine/merge", "POST /api/v1/carts/mine/merge", {}),
        ("GET", "/images/7/320.webp", "GET /images/{image_id}/{width}.webp", {"image_id": "7", "width": "320"}),
        ("GET", "/.well-known/jwks.json", "GET /.well-known/jwks.json", {}),
    ],
)
def test_matches(method: str, raw_path: str, handler: str, path_params: dict[str, str]) -> None:
    assert ROUTER.match(method, raw_path) == RouteMatch(handler, path_params)


@pytest.mark.parametrize(
    "raw_path",
    [
        "",
        "*",
        "/",
        "//api/v1/products",
        "/api/v1",
        "/api/v1/",
        "/api/v2/products",
        "/api/v1/products/",
        "/api/v1/products/a/b",
        "/api/v1/products/%ff",
        "/api/v1/orders/../products",
        "/images/7/320.png",
        "http://elsewhere/api/v1/products",
    ],
)
def test_unknown_paths_match_nothing(raw_path: str) -> None:
    assert ROUTER.match("GET", raw_path) == NoRouteMatch(())


def test_lists_the_allowed_methods() -> None:
    assert ROUTER.match("DELETE", "/api/v1/orders") == NoRouteMatch(("GET", "HEAD", "POST"))
    assert ROUTER.match("POST", PRODUCT) == NoRouteMatch(("DELETE", "GET", "HEAD", "PATCH", "PUT"))
    assert ROUTER.match("OPTIONS", "/api/v1/auth/login") == NoRouteMatch(("POST",))


def test_a_fixed_path_is_never_an_id_but_may_be_a_name() -> None:
    assert ROUTER.match("PUT", "/api/v1/products/search") == NoRouteMatch(("GET", "HEAD"))
    assert ROUTER.match("DELETE", "/api/v1/products/import") == NoRouteMatch(("POST",))
    assert ROUTER.match("GET", "/api/v1/products/import") == RouteMatch("GET /api/v1/products/{key}", {"key": "import"})
