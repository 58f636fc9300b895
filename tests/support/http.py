"""The shop as its clients reach it: HTTP through Nginx."""

from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from infra.foundation.ids import new_id

BASE = "/api/v1"


@dataclass(frozen=True)
class HttpResponse:
    """A response, read to its end."""

    status: int
    headers: "aiohttp.typedefs.LooseHeaders | Any"
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        """The `code` of a problem response."""
        code: str = self.json["code"]
        return code


class HttpClient:
    """Sends requests below `/api/v1`; a path that begins with `//` is sent from the root."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, token: str | None = None, order_token: str | None = None
    ) -> None:
        self.session = session
        self.url = url
        self.token = token
        self.order_token = order_token

    def with_token(self, token: str | None) -> "HttpClient":
        return HttpClient(self.session, self.url, token)

    def with_order_token(self, order_token: str) -> "HttpClient":
        """Also sends the token of a guest's order."""
        return HttpClient(self.session, self.url, self.token, order_token)

    async def __call__(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        data: Any = None,
        key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> HttpResponse:
        sent_headers = dict(headers or {})
        if self.token:
            sent_headers.setdefault("Authorization", f"Bearer {self.token}")
        if self.order_token:
            sent_headers.setdefault("Order-Access", self.order_token)
        if key:
            sent_headers["Idempotency-Key"] = key
        if json is not None:
            data = orjson.dumps(json)
            sent_headers.setdefault("Content-Type", "application/json")
        url = self.url + (path[1:] if path.startswith("//") else BASE + path)
        async with self.session.request(
            method, url, data=data, headers=sent_headers, allow_redirects=False
        ) as response:
            return HttpResponse(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Any) -> HttpResponse:
        return await self("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> HttpResponse:
        return await self("POST", path, json, **options)

    async def put(self, path: str, json: Any = None, **options: Any) -> HttpResponse:
        return await self("PUT", path, json, **options)

    async def delete(self, path: str, **options: Any) -> HttpResponse:
        return await self("DELETE", path, **options)


@dataclass(frozen=True)
class RegisteredCustomer:
    """A customer with an account, signed in."""

    http: HttpClient
    user: dict[str, Any]
    email: str
    password: str
    session: dict[str, Any]


async def register_customer(http: HttpClient) -> RegisteredCustomer:
    """Registers a new customer."""
    email, password = f"{new_id().hex}@example.com", "correct horse"
    body = {"email": email, "password": password, "first_name": "Ada", "last_name": "Lovelace"}
    response = await http.with_token(None).post("/auth/register", body)
    assert response.status == 201, response.body
    session = response.json
    return RegisteredCustomer(http.with_token(session["access_token"]), session["user"], email, password, session)


ADDRESS = {
    "name": "Ada Lovelace",
    "line1": "12 St James's Square",
    "city": "London",
    "postal_code": "SW1Y 4JH",
    "country": "GB",
}
