"""A sample request: what fills a route's path, body and query, for one kind of caller."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from contracts.access import CallerKind
from contracts.user.api_keys import API_KEY_PREFIX
from edge.routes import API_PREFIX, BodyFormat, Route
from tests.access.fixtures import FORM_CONTENT_TYPE, AccessFixtures, image_form
from tests.support.http import HttpClient, HttpResponse

CSV = b"Handle,Title,Variant Price,SKU,Quantity\n"
USD = {"amount": 1999, "currency": "USD"}


@dataclass(frozen=True)
class SampleRequest:
    """What fills a route's path, body and query."""

    path: dict[str, str] = field(default_factory=dict)
    body: Any = None
    query: str = ""
    sender: HttpClient | None = None
    """Sends the request instead of the signed-in caller: a new user with the same role that no other test needs."""
    order_token: str = ""
    """The token of the guest's order that the request is about."""

    def target(self, path: str) -> str:
        """The path with its parameters filled in, below `/api/v1` or from the root."""
        filled = path.format(**self.path) + self.query
        return filled.removeprefix(API_PREFIX) if filled.startswith(API_PREFIX) else f"/{filled}"

    async def send(self, http: HttpClient, path: str, route: Route) -> HttpResponse:
        if self.sender and http.token and not http.token.startswith(API_KEY_PREFIX):
            http = self.sender
        if self.order_token:
            http = http.with_order_token(self.order_token)
        if route.body_format is BodyFormat.IMAGE:
            return await http(
                route.method, self.target(path), data=image_form(), headers={"Content-Type": FORM_CONTENT_TYPE}
            )
        if route.body_format is BodyFormat.CSV:
            return await http(route.method, self.target(path), data=CSV, headers={"Content-Type": "text/csv"})
        return await http(route.method, self.target(path), self.body)


RequestFactory = Callable[[AccessFixtures, CallerKind], Awaitable[SampleRequest]]


def plain(body: Any = None, query: str = "") -> RequestFactory:
    async def make(_fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
        return SampleRequest(body=body, query=query)

    return make


def named(
    make: Callable[[AccessFixtures], Awaitable[str | dict[str, str]]], body: Any = None, name: str = "id"
) -> RequestFactory:
    """`make` returns the value of the path's only parameter, or all of them by name."""

    async def made(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
        values = await make(fixtures)
        return SampleRequest({name: values} if isinstance(values, str) else values, body)

    return made
