"""How paths, queries and bodies become payloads."""

from typing import Any

import orjson
import pytest

from contracts.failure import Fail, InvalidRequest, MalformedRequest, NotFound, PayloadTooLarge
from edge.request_parsing import RequestParser
from edge.routes import Route, all_routes

ID = "019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44"
ROUTES = {f"{route.method} {path.removeprefix('/api/v1')}": route for path, route in all_routes()}


def parser_of(name: str) -> RequestParser:
    route: Route = ROUTES[name]
    return RequestParser(route)


def query(name: str, text: str, **params: str) -> Any:
    return orjson.loads(parser_of(name).parse_query(params, text))


def body(name: str, text: bytes, **params: str) -> Any:
    parser = parser_of(name)
    return orjson.loads(parser.parse_body(text, parser.parse_path(params, "")))


def test_a_query_sets_only_the_fields_it_names() -> None:
    assert query("GET /products", "") == {}
    assert query("GET /products", "limit=5&in_stock=true&min_price=100&sort=-price&q=br%C3%BBss+lamp") == {
        "limit": 5,
        "in_stock": True,
        "min_price": 100,
        "sort": "-price",
        "q": "brûss lamp",
    }


def test_lists_and_parameters_with_names() -> None:
    """A single value stays one, and the order of several does not matter: so equal requests share a reply."""
    assert query("GET /products", "tag=b&tag=a&tag=b&category=x&limit=5") == {
        "limit": 5,
        "category": "x",
        "tag": ["a", "b"],
    }
    text = "attribute.a.b=1&attribute.material=oak&attribute.material=brass&option.Size=%C3%84&option.Size=%C3%84"
    assert query("GET /products/search", text) == {
        "attribute": {"a.b": "1", "material": ["brass", "oak"]},
        "option": {"Size": "Ä"},
    }


def test_query_names_are_the_json_names() -> None:
    assert query("GET /orders", "from=2026-01-01T00:00:00Z") == {"from": "2026-01-01T00:00:00Z"}
    with pytest.raises(MalformedRequest):
        query("GET /orders", "from_=2026-01-01T00:00:00Z")


def test_path_and_query_are_merged() -> None:
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
        ("tag=a,b", ["/tag"]),
        ("tag=a&tag=b,c", ["/tag"]),
        ("attribute=x", ["/attribute"]),
        ("attribute.=x", ["/attribute."]),
        ("option.Size=", ["/option/Size"]),
        ("sort.x=1&limit.=2", ["/sort.x", "/limit."]),
        ("&".join(f"tag={number}" for number in range(21)), ["/tag"]),
        ("&".join(f"option.n{number}=x" for number in range(11)), ["/option"]),
    ],
)
def test_an_invalid_query_is_refused(text: str, pointers: list[str]) -> None:
    with pytest.raises(MalformedRequest) as refused:
        query("GET /products", text)
    assert [error.pointer for error in refused.value.errors] == pointers


@pytest.mark.parametrize("text", ["q=%ff", "q=%ed%a0%80", "&".join(["limit=1"] * 60)])
def test_a_query_that_cannot_be_decoded_is_refused(text: str) -> None:
    with pytest.raises(MalformedRequest):
        query("GET /products", text)


@pytest.mark.parametrize("bad", ["7", "not-an-id", ID + "0", "*", ">", " ", "\0", "x" * 5000])
def test_an_invalid_id_in_the_path_is_not_found(bad: str) -> None:
    with pytest.raises(NotFound):
        query("GET /orders/{id}", "", id=bad)
    with pytest.raises(NotFound):
        body("PUT /orders/{id}", b"{}", id=bad)


@pytest.mark.parametrize("width", ["15", "2049", "x", "-320", "3.5"])
def test_an_invalid_width_is_not_found(width: str) -> None:
    with pytest.raises(NotFound):
        query("GET /images/{image_id}/{width}.webp", "", image_id=ID, width=width)


def test_body_and_path_are_merged() -> None:
    payload = body("POST /carts/{id}/items", b'{"sku": "A", "quantity": 2}', id="c")
    assert payload == {"id": "c", "sku": "A", "quantity": 2}
    assert body("POST /orders/{id}/cancel", b"", id=ID) == {"id": ID}


@pytest.mark.parametrize("name", ["id", "upload"])
def test_a_body_cannot_set_fields_of_the_path_or_the_edge(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        body("POST /carts/{id}/items", orjson.dumps({name: "x", "sku": "A", "quantity": 2}), id="c")
    assert [error.pointer for error in refused.value.errors] == [f"/{name}"]


def test_a_request_with_a_body_takes_no_query() -> None:
    with pytest.raises(MalformedRequest):
        parser_of("POST /orders").parse_path({}, "status=paid")


@pytest.mark.parametrize(
    ("text", "failure"),
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
def test_a_body_that_is_not_a_json_object_is_refused(text: bytes, failure: type[Fail]) -> None:
    with pytest.raises(failure):
        body("POST /orders", text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":[' + b",".join([b"1e15"] * 1000) + b"]}",
        b' {"a": [1e15,1E15 ,-9.5e14,\t123e12,0.1e-3]} ',
        b'{"a":[18446744073709551616,100000000000000000000000000]}',
        b'{"a":1e300}',
        '{"a":"\u00e4\u20ac\U0001f600"}'.encode(),
        rb'{"a":"\u00e4\u20ac\ud83d\ude00\u0001\/\n"}',
    ],
)
def test_json_is_passed_on_without_growing(text: bytes) -> None:
    parser = parser_of("POST /carts/{id}/items")
    alone, merged = parser.parse_body(text, {}), parser.parse_body(text, {"id": "c"})
    assert len(alone) <= len(text)
    assert len(merged) <= len(text) + len(b'"id":"c",')
    assert orjson.loads(alone) == orjson.loads(text)
    assert orjson.loads(merged) == {**orjson.loads(text), "id": "c"}


def nested(depth: int) -> bytes:
    """An object of which the innermost value is `depth` levels deep, by turns in arrays and objects."""
    opened = ['{"a":' if level % 2 == 0 else "[" for level in range(depth)]
    closed = ["}" if level % 2 == 0 else "]" for level in reversed(range(depth))]
    return "".join([*opened, "1", *closed]).encode()


def with_keys(count: int) -> bytes:
    """An object with nested objects, with this number of keys in all."""
    return orjson.dumps({"all": {f"{{[{index}:": 'a"\\' for index in range(count - 1)}})


def test_json_has_a_limited_depth() -> None:
    assert body("POST /orders", nested(32)) == orjson.loads(nested(32))
    for text in (nested(33), nested(500), b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}"):
        with pytest.raises(MalformedRequest):
            body("POST /orders", text)


def test_json_has_a_limited_number_of_keys() -> None:
    assert len(body("POST /orders", with_keys(20_000))["all"]) == 19_999
    many_arrays = b'{"a":[' + b",".join([b"[]"] * 20_000) + b"]}"
    for text in (with_keys(20_001), many_arrays):
        with pytest.raises(PayloadTooLarge):
            body("POST /orders", text)


def test_text_that_looks_like_structure_is_not_counted() -> None:
    text = orjson.dumps({"a": '[{"x\\":' * 50_000, "b": "\\", "c": '"'})
    assert body("POST /orders", text) == orjson.loads(text)
