"""The values of queries: each is read as it is meant or refused with a text that says what to send."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from contracts.catalog import Product
from contracts.failure import MalformedRequest, NotFound
from edge.openapi.document import build_openapi
from edge.request_parsing import request_parser
from edge.routes import BodyFormat, all_routes
from tests.edge.test_bad_input import order_of
from tests.edge.test_request_parsing import ID, query
from tests.support.http import HttpClient, RegisteredCustomer

READS = {path: route for path, route in all_routes() if route.body_format is BodyFormat.NONE and route.method == "GET"}
QUERY_FIELDS = [
    (path, name)
    for path, route in READS.items()
    for name in request_parser(route).query_fields
    if name not in request_parser(route).path_fields
]
LISTS = [path for path, name in QUERY_FIELDS if name == "after"]
NUMBERS = [(path, name) for path, name in QUERY_FIELDS if name in request_parser(READS[path])._number_formats]
PATHS = {"id": ID, "sku": "A", "key": "lamp", "image_id": ID, "width": "320"}


def parse(path: str, text: str, **changed: str) -> Any:
    parser = request_parser(READS[path])
    params = {name: {**PATHS, **changed}[name] for name in parser.path_fields}
    return orjson.loads(parser.parse_query(params, f"{text}&q=lamp" if "suggest" in path else text))


def refusal(path: str, text: str) -> dict[str, str]:
    """The details of the refused query, by pointer."""
    with pytest.raises(MalformedRequest) as refused:
        parse(path, text)
    return {error.pointer: error.detail for error in refused.value.errors}


def test_every_list_is_found() -> None:
    assert len(LISTS) > 10
    assert {name for _, name in NUMBERS} >= {"limit", "below", "min_price", "max_price", "min_rating"}


@pytest.mark.parametrize("path", LISTS)
def test_an_empty_cursor_is_the_first_page(path: str) -> None:
    assert parse(path, "limit=5&after=").items() >= {"limit": 5, "after": None}.items()
    assert refusal(path, "after=%20").keys() == {"/after"}


@pytest.mark.parametrize(("path", "name"), NUMBERS)
@pytest.mark.parametrize(
    "text", ["+3", "%2B3", "%203", "3%20", "1_0", "%EF%BC%93", "%D9%A3", "0x3", "3e0", "3.", "", "3,0"]
)
def test_only_digits_are_a_number(path: str, name: str, text: str) -> None:
    detail = refusal(path, f"{name}={text}")[f"/{name}"]
    assert detail.startswith("Send a "), detail
    assert "digits" in detail
    assert parse(path, f"{name}=3")[name] == 3


@pytest.mark.parametrize("text", ["3.0", "3.5", "1e1"])
def test_a_whole_number_has_no_decimals(text: str) -> None:
    assert refusal("/api/v1/products", f"limit={text}").keys() == {"/limit"}
    assert parse("/api/v1/products", "min_rating=3.5") == {"min_rating": 3.5}


@pytest.mark.parametrize("width", [" 320", "+320", "3_20", "\uff13\uff12\uff10", "320.0"])
def test_a_number_in_a_path_is_its_digits(width: str) -> None:
    with pytest.raises(NotFound):
        query("GET /images/{image_id}/{width}.webp", "", image_id=ID, width=width)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-11-30", "2026-11-30T00:00:00Z"),
        ("2026-11-30T12:30:00Z", "2026-11-30T12:30:00Z"),
        ("2026-11-30T12:30:00%2B02:00", "2026-11-30T12:30:00+02:00"),
        ("2026-11-30T12:30:00+02:00", "2026-11-30T12:30:00+02:00"),
        ("2026-11-30T12:30:00.25+05:30", "2026-11-30T12:30:00.250000+05:30"),
        ("2026-11-30%2012:30:00+02:00", "2026-11-30T12:30:00+02:00"),
        ("2026-11-30+12:30:00Z", "2026-11-30T12:30:00Z"),
        ("2026-11-30T12:30:00-02:00", "2026-11-30T12:30:00-02:00"),
    ],
)
def test_times_are_read_as_they_are_meant(text: str, read: str) -> None:
    for name in ("from", "to"):
        assert parse("/api/v1/orders", f"{name}={text}") == {name: read}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("2026-11-30T12:30:00", "time zone"),
        ("2026-11-30%2012:30", "time zone"),
        ("20261130", "RFC 3339"),
        ("1796000000", "RFC 3339"),
        ("", "RFC 3339"),
        ("yesterday", "RFC 3339"),
        ("2026-02-30", "RFC 3339"),
        ("2026-11-30T25:00:00Z", "RFC 3339"),
        ("0001-01-01T00:00:00%2B14:00", "years"),
        ("9999-12-31T23:59:59-14:00", "years"),
        ("\u0662026-11-30", "RFC 3339"),
    ],
)
def test_other_times_are_refused(text: str, word: str) -> None:
    assert word in refusal("/api/v1/orders", f"from={quote(text, safe='%')}")["/from"]


async def test_dates_are_half_open_ranges_of_midnights_in_utc(customer: RegisteredCustomer) -> None:
    """The limits of the calendar are no server errors."""
    for text in ("from=0001-01-01", "from=1969-12-31", "to=9999-12-31", "to=0001-01-01", "from=9999-12-31"):
        response = await customer.http.get(f"/orders?{text}")
        assert (response.status, response.json) == (200, {"items": [], "next": None}), text


async def test_an_empty_cursor_over_http(http: HttpClient) -> None:
    for path in ("/products", "/products/search", "/categories"):
        first, empty = [await http.get(f"{path}?limit=2{after}") for after in ("", "&after=")]
        assert (empty.status, empty.json["items"]) == (200, first.json["items"])
    assert (await http.get("/products?after=%20")).status == 400


async def test_a_date_is_the_midnight_at_its_start(
    customer: RegisteredCustomer, new_product: Callable[..., Awaitable[Product]]
) -> None:
    placed = await customer.http.post("/orders", order_of(await new_product()))
    day = datetime.fromisoformat(placed.json["created_at"]).astimezone(UTC).date()

    async def found(text: str) -> list[str]:
        return [order["id"] for order in (await customer.http.get(f"/orders?{text}")).json["items"]]

    assert await found(f"from={day}&to={day + timedelta(days=1)}") == [placed.json["id"]]
    assert await found(f"to={day}") == await found(f"from={day + timedelta(days=1)}") == []


def test_openapi_says_what_is_read() -> None:
    document = build_openapi()
    shared = document["components"]["parameters"].values()
    described = [*document["paths"]["/api/v1/orders"]["get"]["parameters"], *shared]
    schemas = {parameter["name"]: parameter["schema"] for parameter in described if "name" in parameter}
    assert {choice["format"] for choice in schemas["from"]["anyOf"]} == {"date-time", "date"}
    assert re.fullmatch(schemas["after"]["pattern"], "")
