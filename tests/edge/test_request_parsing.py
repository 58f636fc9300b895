"""What becomes of paths, queries and bodies."""

from typing import Any

import orjson
import pytest

from contracts.failure import Fail, InvalidRequest, MalformedRequest, NotFound
from edge.request_parsing import RequestParser
from edge.routes import Route, all_routes

ID = "019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44"
ROUTES = {f"{route.method} {path.removeprefix('/api/v1')}": route for path, route in all_routes()}


def intake(name: str) -> RequestParser:
    route: Route = ROUTES[name]
    return RequestParser(route)


def query(name: str, text: str, **params: str) -> Any:
    return orjson.loads(intake(name).parse_query(params, text))


def body(name: str, text: bytes, **params: str) -> Any:
    reader = intake(name)
    return orjson.loads(reader.parse_body(text, reader.parse_path(params, "")))


def test_a_query_says_only_what_was_said() -> None:
    assert query("GET /products", "") == {}
    assert query("GET /products", "limit=5&in_stock=true&min_price=100&sort=-price&q=br%C3%BBss+lamp") == {
        "limit": 5,
        "in_stock": True,
        "min_price": 100,
        "sort": "-price",
        "q": "brûss lamp",
    }


def test_names_are_those_of_the_wire() -> None:
    assert query("GET /orders", "from=2026-01-01T00:00:00Z") == {"from": "2026-01-01T00:00:00Z"}
    with pytest.raises(MalformedRequest):
        query("GET /orders", "from_=2026-01-01T00:00:00Z")


def test_path_and_query_meet() -> None:
    assert query("GET /orders/{id}", "", id=ID) == {"id": ID}
    assert query("GET /images/{image_id}/{width}.webp", "", image_id=ID, width="320") == {"image_id": ID, "width": 320}


@pytest.mark.parametrize(
    ("text", "pointers"),
    [
        ("limit=0", ["/limit"]),
        ("limit=101", ["/limit"]),
        ("limit=ten", ["/limit"]),
        ("limit=1.5", ["/limit"]),
        ("limit=", ["/limit"]),
        ("min_price=-1&limit=0", ["/limit", "/min_price"]),
        ("min_rating=nan", ["/min_rating"]),
        ("sort=cheapest", ["/sort"]),
        ("in_stock=perhaps", ["/in_stock"]),
        ("after=no%20cursor!", ["/after"]),
        ("q=a%00b", ["/q"]),
        ("q=" + "x" * 201, ["/q"]),
        ("nonsense=1", ["/nonsense"]),
        ("limit=1&limit=2", [""]),
        ("a/b~c=1", ["/a~1b~0c"]),
    ],
)
def test_a_query_that_cannot_be_read(text: str, pointers: list[str]) -> None:
    with pytest.raises(MalformedRequest) as refused:
        query("GET /products", text)
    assert [error.pointer for error in refused.value.errors] == pointers


@pytest.mark.parametrize("text", ["q=%ff", "q=%ed%a0%80", "&".join(["limit=1"] * 60)])
def test_a_query_that_is_no_text(text: str) -> None:
    with pytest.raises(MalformedRequest):
        query("GET /products", text)


@pytest.mark.parametrize("bad", ["7", "not-an-id", ID + "0", "*", ">", " ", "\0", "x" * 5000])
def test_a_path_that_can_name_nothing(bad: str) -> None:
    with pytest.raises(NotFound):
        query("GET /orders/{id}", "", id=bad)
    with pytest.raises(NotFound):
        body("PUT /orders/{id}", b"{}", id=bad)


@pytest.mark.parametrize("width", ["15", "2049", "x", "-320", "3.5"])
def test_a_width_that_is_none(width: str) -> None:
    with pytest.raises(NotFound):
        query("GET /images/{image_id}/{width}.webp", "", image_id=ID, width=width)


def test_a_body_meets_its_path() -> None:
    said = body("POST /carts/{id}/items", b'{"sku": "A", "quantity": 2}', id="c")
    assert said == {"id": "c", "sku": "A", "quantity": 2}
    assert body("POST /orders/{id}/cancel", b"", id=ID) == {"id": ID}


@pytest.mark.parametrize("name", ["id", "upload"])
def test_a_body_never_says_what_the_path_and_the_edge_say(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        body("POST /carts/{id}/items", orjson.dumps({name: "x", "sku": "A", "quantity": 2}), id="c")
    assert [error.pointer for error in refused.value.errors] == [f"/{name}"]


def test_a_query_is_never_part_of_a_body() -> None:
    with pytest.raises(MalformedRequest):
        intake("POST /orders").parse_path({}, "status=paid")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"{", MalformedRequest),
        (b"\xff", MalformedRequest),
        (b'{"a": NaN}', MalformedRequest),
        (b'{"a": Infinity}', MalformedRequest),
        (b'{"a": 01}', MalformedRequest),
        (b"{'a': 1}", MalformedRequest),
        (b'{"a": 1,}', MalformedRequest),
        (b'{"a": 1} {}', MalformedRequest),
        (b'{"a": "\\ud800"}', MalformedRequest),
        (b'{"a": "\xed\xa0\x80"}', MalformedRequest),
        (b'{"a": "\\x"}', MalformedRequest),
        (b"[" * 100_000, MalformedRequest),
        (b"\xef\xbb\xbf{}", MalformedRequest),
        (b" ", MalformedRequest),
        (b"null", InvalidRequest),
        (b"[]", InvalidRequest),
        (b'"text"', InvalidRequest),
        (b"17", InvalidRequest),
    ],
)
def test_a_body_that_is_no_object(text: bytes, kind: type[Fail]) -> None:
    with pytest.raises(kind):
        body("POST /orders", text)
