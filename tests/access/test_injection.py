"""Text that means something to somebody else: to a database, to NATS, to a mail, to a shell. Put into every string of
every body, into every path and every query of every route; what is kept of it is text, and nothing breaks.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from contracts.access import CallerKind
from contracts.identity import Access
from edge.openapi.examples import REQUEST_EXAMPLES
from edge.request_parsing import RequestParser
from edge.router import PATH_PARAMETER
from edge.routes import BodyFormat, Route, all_routes
from infra.ops.devstack.stack import Stack
from tests.access.fixtures import AccessFixtures
from tests.access.sample_requests import REQUESTS, SampleRequest
from tests.access.test_mass_assignment import objects, replaced, some_path
from tests.support.http import HttpClient, HttpResponse, RegisteredCustomer

OPERATORS: tuple[Any, ...] = (
    {"$gt": ""},
    {"$ne": None},
    {"$where": "sleep(1000)"},
    [{"$gt": ""}],
    ["text"],
    7,
    True,
)
"""What is no text at all; the databases of others take it for a question."""
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
BREAKING = ("a\r\nBcc: everybody@c.example", "a\nSubject: b", "a\x00b", "a\x1b[2Jb")
"""What ends a line of a mail, of a log or of a protocol; taken only where text has several lines, and NUL nowhere."""
MANY_LINES = {"/description", "/reason"}
SECRETS = {"/password", "/current_password", "/new_password", "/token", "/refresh_token", "/client_secret", "/code"}
"""Digested or compared, never written anywhere."""
SEGMENTS = (
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
NAMED = [(path, route) for path, route in all_routes() if PATH_PARAMETER.search(path)]
ASKED = [
    (path, route)
    for path, route in all_routes()
    if route.body_format is BodyFormat.NONE and RequestParser(route).query_fields
]


def _name(entry: Any) -> str:
    return f"{entry[1].method} {entry[0]}"


@pytest.fixture(scope="session")
async def alley(stack: Stack, boss: RegisteredCustomer) -> Any:
    """An administrator's, at an address where nobody else is: wrong passwords are counted there."""
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.72", 0))
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield HttpClient(session, stack.http_url, boss.http.token)


def strings(body: Any) -> Iterator[tuple[str, str]]:
    for pointer, found in objects(body):
        yield from ((f"{pointer}/{name}", value) for name, value in found.items() if isinstance(value, str))


def sane(answered: HttpResponse) -> bool:
    """Done, or refused as a problem that is the client's."""
    if answered.status < 400:
        return True
    return answered.status < 500 and answered.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("entry", JSON, ids=_name)
async def test_every_string_takes_text_alone(
    world: AccessFixtures, alley: HttpClient, entry: tuple[str, Route]
) -> None:
    path, route = entry
    client, request = await _ready(world, alley, route)
    for pointer, _ in strings(request.body):
        for value in OPERATORS:
            answered = await _with(request, pointer, value).send(client, path, route)
            assert (answered.status, answered.code) == (422, "invalid"), (pointer, value)
            assert any(error["pointer"].startswith(pointer) for error in answered.json["errors"]), (pointer, value)


@pytest.mark.parametrize("entry", JSON, ids=_name)
async def test_text_is_text(world: AccessFixtures, alley: HttpClient, entry: tuple[str, Route]) -> None:
    """What is taken comes back as it was said."""
    path, route = entry
    client, request = await _ready(world, alley, route)
    for pointer, _ in strings(request.body):
        for value in TEXTS:
            answered = await _with(request, pointer, value).send(client, path, route)
            assert sane(answered), (pointer, value, answered.body)
            if 200 <= answered.status < 300 and answered.body and pointer.count("/") == 1:
                back = answered.json.get(pointer[1:], value)
                assert back == value or (pointer == "/description" and "<" not in back), "a description is safe HTML"


@pytest.mark.parametrize("entry", JSON, ids=_name)
async def test_nothing_breaks_out_of_its_line(
    world: AccessFixtures, alley: HttpClient, entry: tuple[str, Route]
) -> None:
    path, route = entry
    client, request = await _ready(world, alley, route)
    for pointer, _ in strings(request.body):
        for value in BREAKING:
            answered = await _with(request, pointer, value).send(client, path, route)
            assert sane(answered), (pointer, value, answered.body)
            if pointer not in SECRETS and (pointer not in MANY_LINES or "\x00" in value):
                assert (answered.status, answered.code) == (422, "invalid"), (pointer, value)


async def _ready(world: AccessFixtures, alley: HttpClient, route: Route) -> tuple[HttpClient, SampleRequest]:
    """Whoever gets the furthest with it, and a request that would be done."""
    asker = CallerKind.ADMIN if route.operation.access is Access.ADMIN else CallerKind.OWNER
    return alley.with_token(world.client_for(asker).token), await REQUESTS[route.operation](world, asker)


def _with(request: SampleRequest, pointer: str, value: Any) -> SampleRequest:
    return SampleRequest(request.path, replaced(request.body, pointer, value))


async def _raw(http: HttpClient, method: str, target: str, body: Any = None) -> HttpResponse:
    """To an address as it stands, escapes and all."""
    said = {"Authorization": f"Bearer {http.token}"} if http.token else {}
    url = URL(http.url + target, encoded=True)
    async with http.session.request(method, url, json=body, headers=said, allow_redirects=False) as response:
        return HttpResponse(response.status, response.headers, await response.read())


@pytest.mark.parametrize("entry", NAMED, ids=_name)
async def test_what_is_no_id_names_nothing(alley: HttpClient, entry: tuple[str, Route]) -> None:
    path, route = entry
    body = REQUEST_EXAMPLES.get(route.operation) if route.body_format is BodyFormat.JSON else None
    for name in PATH_PARAMETER.findall(path):
        for segment in SEGMENTS:
            target = path.format(**{**some_path(route), name: segment})
            answered = await _raw(alley, route.method, target, body)
            assert sane(answered), (segment, answered.body)
            assert answered.status in {400, 404, 405, 415}, (segment, answered.body)


@pytest.mark.parametrize("entry", ASKED, ids=_name)
async def test_a_query_is_read_or_refused(alley: HttpClient, entry: tuple[str, Route]) -> None:
    path, route = entry
    target = path.format(**some_path(route))
    for name in RequestParser(route).query_fields:
        for value in (*TEXTS, *BREAKING, "$ne", "9" * 40, ""):
            answered = await _raw(alley, route.method, f"{target}?{name}={quote(value)}")
            assert sane(answered), (name, value, answered.body)
        answered = await _raw(alley, route.method, f"{target}?{name}[$gt]=")
        assert (answered.status, answered.code) == (400, "malformed"), (name, answered.body)
