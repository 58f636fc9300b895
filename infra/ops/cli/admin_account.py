"""The administrator's account, and the shop's HTTP API as that administrator uses it from a command.

The account comes from SOUK_ADMIN_EMAIL and SOUK_ADMIN_PASSWORD; without them it is made up once, and the data folder
keeps the password where only its owner can read it.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts import user
from contracts.failure import InvalidRequest
from contracts.user import MakeAdmin
from infra.messaging import connection as messaging
from infra.messaging.rpc import RpcClient
from infra.ops.devstack.endpoints import Whereabouts
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.secret_files import OPERATOR

EMAIL = "admin@souk.example"
PASSWORD = "admin_password"  # noqa: S105 - the name of a file
PATIENCE = aiohttp.ClientTimeout(total=60)
MOST_TRIES = 8
LATER = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


class AdminSettings(BaseSettings):
    """Who the administrator is."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", env_file=".env", extra="ignore", frozen=True)

    admin_email: str = ""
    admin_password: SecretStr = SecretStr("")


@dataclass(frozen=True, slots=True)
class Credentials:
    email: str
    password: SecretStr


class Refusal(StackError):  # noqa: N818 - an answer, not an accident
    """The shop said no."""

    def __init__(self, what: str, status: int, code: str, detail: str) -> None:
        super().__init__(f"The shop refused {what}: {detail} ({code})")
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Admin:
    """The account, and whether its password was made up just now, so that somebody has to be told."""

    credentials: Credentials
    new: bool


async def ensure_admin(where: Whereabouts) -> Admin:
    """The administrator of a local stack; made if there is none, as the operator."""
    settings = AdminSettings()
    given = settings.admin_password.get_secret_value()
    new = not given and not (where.vault.folder / PASSWORD).exists()
    credentials = Credentials(settings.admin_email or EMAIL, SecretStr(given or where.vault.secret("", PASSWORD)))
    try:
        wanted = MakeAdmin(email=credentials.email, password=credentials.password)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise StackError(f"SOUK_ADMIN_{name.upper()} cannot be used: {error.errors()[0]['msg']}.") from None
    async with messaging.connect(where.nats_url, OPERATOR, where.password(OPERATOR)) as client:
        try:
            await RpcClient(client, timeout_seconds=10).request(user.MAKE_ADMIN, wanted)
        except InvalidRequest as fail:
            told = "; ".join(f"SOUK_ADMIN_{error.pointer[1:].upper()} {error.detail}" for error in fail.errors)
            raise StackError(f"The administrator cannot be made: {told}.") from fail
    return Admin(credentials, new)


def given_credentials() -> Credentials:
    """For a shop that this machine does not run: only the environment knows who its administrator is."""
    settings = AdminSettings()
    if not settings.admin_email or not settings.admin_password.get_secret_value():
        raise StackError("Say who the shop's administrator is: set SOUK_ADMIN_EMAIL and SOUK_ADMIN_PASSWORD.")
    return Credentials(settings.admin_email, settings.admin_password)


class Api:
    """The HTTP API. What the shop has no time for now is asked again; what it refuses is a `Refusal`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str = "") -> None:
        self.session = session
        self.url = url.rstrip("/")
        self.token = token

    async def get(self, path: str) -> Any:
        return await self.send("GET", path, lambda: None)

    async def post(self, path: str, body: Any, *, key: str = "") -> Any:
        """`key` is an idempotency key; without one each call has its own, so that asking again does no harm."""
        return await self.send("POST", path, lambda: orjson.dumps(body), media="application/json", key=key)

    async def send(
        self, method: str, path: str, body: Callable[[], Any], *, media: str | None = None, key: str = ""
    ) -> Any:
        """`body` is made anew for each try: a form can be sent only once."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if media:
            headers["Content-Type"] = media
        if method == "POST":
            headers["Idempotency-Key"] = key or secrets.token_urlsafe(16)
        for tries in range(1, MOST_TRIES + 1):
            status, answer, wait = await self._once(method, path, body(), headers)
            if status not in LATER or tries == MOST_TRIES:
                break
            await asyncio.sleep(wait)
        if status >= HTTPStatus.BAD_REQUEST:
            raise Refusal(
                f"{method} {path}", status, answer.get("code", str(status)), answer.get("detail", "no reason")
            )
        return answer

    async def _once(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any, float]:
        try:
            async with self.session.request(
                method, f"{self.url}/api/v1{path}", data=body, headers=headers, allow_redirects=False
            ) as response:
                return response.status, _read(await response.read()), _wait(response.headers.get("Retry-After"))
        except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, TimeoutError):
            raise StackError(f"Nobody answers at {self.url}. Is the shop running? `souk up` starts it.") from None


@asynccontextmanager
async def signed_in(url: str, credentials: Credentials) -> AsyncIterator[Api]:
    """The API with the administrator's token."""
    async with aiohttp.ClientSession(timeout=PATIENCE) as session:
        api = Api(session, url)
        said = {"email": credentials.email, "password": credentials.password.get_secret_value()}
        try:
            answer = await api.post("/auth/login", said)
        except Refusal as refusal:
            raise _not_let_in(credentials, refusal) from None
        if answer["user"]["role"] != "admin":
            raise StackError(f"{credentials.email} is not an administrator of the shop.")
        yield Api(session, url, answer["access_token"])


def _not_let_in(credentials: Credentials, refusal: Refusal) -> StackError:
    if refusal.code != "invalid_credentials":
        return refusal
    return StackError(
        f"The shop does not let {credentials.email} in: the password is not the one its account was made with. "
        "Set SOUK_ADMIN_EMAIL and SOUK_ADMIN_PASSWORD to an administrator's."
    )


def _read(body: bytes) -> Any:
    """JSON, or nothing that could be told: what stands in front of the shop may answer with a page of its own."""
    try:
        return orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        return {}


def _wait(header: str | None) -> float:
    """Seconds to wait before the next try."""
    return float(header) if header and header.replace(".", "", 1).isdigit() else 0.5
