"""The shop as its clients see it: HTTP through Nginx."""

from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from infra.foundation.ids import new_id

BASE = "/api/v1"


@dataclass(frozen=True)
class HttpResponse:
    """An answer, read to its end."""

    status: int
    headers: "aiohttp.typedefs.LooseHeaders | Any"
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        """The slug of a problem."""
        code: str = self.json["code"]
        return code


class HttpClient:
    """Sends requests below `/api/v1`, or at the root for a path that begins with `//`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str | None = None) -> None:
        self.session = session
        self.url = url
        self.token = token

    def with_token(self, token: str | None) -> "HttpClient":
        return HttpClient(self.session, self.url, token)

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
        said = dict(headers or {})
        if self.token:
            said.setdefault("Authorization", f"Bearer {self.token}")
        if key:
            said["Idempotency-Key"] = key
        if json is not None:
            data = orjson.dumps(json)
            said.setdefault("Content-Type", "application/json")
        url = self.url + (path[1:] if path.startswith("//") else BASE + path)
        async with self.session.request(method, url, data=data, headers=said, allow_redirects=False) as response:
            return HttpResponse(response.status, response.headers, await response.read())

    async def get(self, path: str, **how: Any) -> HttpResponse:
        return await self("GET", path, **how)

    async def post(self, path: str, json: Any = None, **how: Any) -> HttpResponse:
        return await self("POST", path, json, **how)

    async def put(self, path: str, json: Any = None, **how: Any) -> HttpResponse:
        return await self("PUT", path, json, **how)

    async def delete(self, path: str, **how: Any) -> HttpResponse:
        return await self("DELETE", path, **how)


@dataclass(frozen=True)
class RegisteredCustomer:
    """Somebody with an account, signed in."""

    http: HttpClient
    user: dict[str, Any]
    email: str
    password: str
    session: dict[str, Any]


async def register_customer(http: HttpClient) -> RegisteredCustomer:
    """A customer whom nobody has met before."""
    email, password = f"{new_id().hex}@example.com", "correct horse"
    body = {"email": email, "password": password, "first_name": "Ada", "last_name": "Lovelace"}
    answered = await http.with_token(None).post("/auth/register", body)
    assert answered.status == 201, answered.body
    session = answered.json
    return RegisteredCustomer(http.with_token(session["access_token"]), session["user"], email, password, session)


ADDRESS = {
    "name": "Ada Lovelace",
    "line1": "12 St James's Square",
    "city": "London",
    "postal_code": "SW1Y 4JH",
    "country": "GB",
}
