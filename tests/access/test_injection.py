"""Text with a meaning for other systems: databases, NATS, mails, shells. It is put into every string of
every body and into every path and query of every route. Accepted text stays text, and nothing breaks.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from contracts.access import CallerKind
from contracts.identity import Access
from edge.openapi.request_examples import REQUEST_EXAMPLES
from edge.request_parsing import RequestParser
from edge.router import PATH_PARAMETER
from edge.routes import BodyFormat, Route, all_routes
from infra.ops.devstack.stack import Stack
from tests.access.fixtures import AccessFixtures
from tests.access.sample_request import SampleRequest
from tests.access.sample_requests import REQUESTS
from tests.access.test_mass_assignment import objects, replaced, some_path
from tests.support.http import HttpClient, HttpResponse, RegisteredCustomer

NON_STRINGS: tuple[Any, ...] = (
    {"$gt": ""},
    {"$ne": None},
    {"$where": "sleep(1000)"},
    [{"$gt": ""}],
    ["text"],
    7,
    True,
)
"""Values that are no strings; a naive database query would interpret them."""
TEXTS = (
    "' OR '1'='1",
    "'; DROP TABLE account; --",
    "1); SELECT pg_sleep(10); --",
    "\\'; --",
    "%' OR true --",
    "{{7*7}}{% raise %}",
    "$(id) `id` | id",
    "../../../../etc/passwd",
    "event.order.>",
    "*.>",
    "a b.c",
    "<script>alert(1)</script>",
    "{'$gt': ''}",
    "\u202eadmin\u200b",
    "\U0001f40e" * 20,
)
CONTROL_TEXTS = ("a\r\nBcc: all@c.example", "a\nSubject: b", "a\x00b", "a\x1b[2Jb")
"""Characters that end a line of a mail, log or protocol; accepted only in multi-line text, and NUL nowhere."""
MANY_LINES = {"/description", "/reason", "/body", "/answer", "/text"}
SECRETS = {"/password", "/current_password", "/new_password", "/token", "/refresh_token", "/client_secret", "/code"}
"""Fields that are hashed or compared, and never written anywhere."""
PATH_SEGMENTS = (
    "*",
    "%3E",
    "rpc.order.%3E",
    "a.b",
    "%2e",
    "%2e%2e",
    "..%2f..%2fusers%2fprofile",
    "%2e%2e%2f%2e%2e%2fmetrics",
    "%20",
    "%0d%0aSouk-Identity:%20x",
    "%00",
    "%ff",
    "%27%20OR%20true%20--",
    "%7B%22$gt%22:%22%22%7D",
    "$ne",
    "%252e%252e",
    "-1",
    "null",
    "%F0%9F%90%8E",
    "a" * 3000,
)

JSON = [
    (path, route)
    for path, route in all_routes()
    if route.body_format is BodyFormat.JSON and REQUEST_EXAMPLES[route.operation]
]
WITH_PATH_PARAMETERS = [(path, route) for path, route in all_routes() if PATH_PARAMETER.search(path)]
WITH_QUERY = [
    (path, route)
    for path, route in all_routes()
    if route.body_format is BodyFormat.NONE and RequestParser(route).query_fields
]


def _name(entry: Any) -> str:
    return f"{entry[1].method} {entry[0]}"


@pytest.fixture(scope="session")
async def isolated_http(stack: Stack, access_admin: RegisteredCustomer) -> Any:
    """An administrator's client with an address of its own, because wrong passwords are counted per address."""
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.72", 0))
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield HttpClient(session, stack.http_url, access_admin.http.token)


def strings(body: Any) -> Iterator[tuple[str, str]]:
    for pointer, found in objects(body):
        yield from ((f"{pointer}/{name}", value) for name, value in found.items() if isinstance(value, str))


def is_handled(response: HttpResponse) -> bool:
    """Whether the request succeeded or was refused as a problem of the client."""
    if response.status < 400:
        return True
    return response.status < 500 and response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("entry", JSON, ids=_name)
async def test_strings_accept_only_text(
    fixtures: AccessFixtures, isolated_http: HttpClient, entry: tuple[str, Route]
) -> None:
    path, route = entry
    client, request = await _client_and_request(fixtures, isolated_http, route)
    for pointer, _ in strings(request.body):
        for value in NON_STRINGS:
            response = await _with(request, pointer, value).send(client, path, route)
            assert (response.status, response.code) == (422, "invalid"), (pointer, value)
            assert any(error["pointer"].startswith(pointer) for error in response.json["errors"]), (pointer, value)


@pytest.mark.parametrize("entry", JSON, ids=_name)
async def test_accepted_text_is_returned_unchanged(
    fixtures: AccessFixtures, isolated_http: HttpClient, entry: tuple[str, Route]
) -> None:
    """Accepted text comes back unchanged."""
    path, route = entry
    client, request = await _client_and_request(fixtures, isolated_http, route)
    for pointer, _ in strings(request.body):
        for value in TEXTS:
            response = await _with(request, pointer, value).send(client, path, route)
            assert is_handled(response), (pointer, value, response.body)
            if 200 <= response.status < 300 and response.body and pointer.count("/") == 1:
                back = response.json.get(pointer[1:], value)
                assert back == value or (pointer == "/description" and "<" not in back), "a description is safe HTML"


@pytest.mark.parametrize("entry", JSON, ids=_name)
async def test_control_characters_are_refused(
    fixtures: AccessFixtures, isolated_http: HttpClient, entry: tuple[str, Route]
) -> None:
    path, route = entry
    client, request = await _client_and_request(fixtures, isolated_http, route)
    for pointer, _ in strings(request.body):
        for value in CONTROL_TEXTS:
            response = await _with(request, pointer, value).send(client, path, route)
            assert is_handled(response), (pointer, value, response.body)
            if pointer not in SECRETS and (pointer not in MANY_LINES or "\x00" in value):
                assert (response.status, response.code) == (422, "invalid"), (pointer, value)


async def _client_and_request(
    fixtures: AccessFixtures, isolated_http: HttpClient, route: Route
) -> tuple[HttpClient, SampleRequest]:
    """The caller who gets furthest with the route, and a request that would succeed."""
    caller = CallerKind.ADMIN if route.operation.access is Access.ADMIN else CallerKind.OWNER
    return isolated_http.with_token(fixtures.client_for(caller).token), await REQUESTS[route.operation](
        fixtures, caller
    )


def _with(request: SampleRequest, pointer: str, value: Any) -> SampleRequest:
    return SampleRequest(request.path, replaced(request.body, pointer, value))


async def _raw(http: HttpClient, method: str, target: str, body: Any = None) -> HttpResponse:
    """Sends a request to a target exactly as it is written, with its escapes."""
    sent = {"Authorization": f"Bearer {http.token}"} if http.token else {}
    url = URL(http.url + target, encoded=True)
    async with http.session.request(method, url, json=body, headers=sent, allow_redirects=False) as response:
        return HttpResponse(response.status, response.headers, await response.read())


@pytest.mark.parametrize("entry", WITH_PATH_PARAMETERS, ids=_name)
async def test_malformed_ids_name_nothing(isolated_http: HttpClient, entry: tuple[str, Route]) -> None:
    path, route = entry
    body = REQUEST_EXAMPLES.get(route.operation) if route.body_format is BodyFormat.JSON else None
    for name in PATH_PARAMETER.findall(path):
        for segment in PATH_SEGMENTS:
            target = path.format(**{**some_path(route), name: segment})
            response = await _raw(isolated_http, route.method, target, body)
            assert is_handled(response), (segment, response.body)
            assert response.status in {400, 404, 405, 415}, (segment, response.body)


@pytest.mark.parametrize("entry", WITH_QUERY, ids=_name)
async def test_queries_are_parsed_or_refused(isolated_http: HttpClient, entry: tuple[str, Route]) -> None:
    path, route = entry
    target = path.format(**some_path(route))
    for name in RequestParser(route).query_fields:
        for value in (*TEXTS, *CONTROL_TEXTS, "$ne", "9" * 40, ""):
            response = await _raw(isolated_http, route.method, f"{target}?{name}={quote(value)}")
            assert is_handled(response), (name, value, response.body)
        response = await _raw(isolated_http, route.method, f"{target}?{name}[$gt]=")
        assert (response.status, response.code) == (400, "malformed"), (name, response.body)
