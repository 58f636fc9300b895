"""The administrator's account, and a client for the shop's HTTP API with that account.

The account comes from SOUK_ADMIN_EMAIL and SOUK_ADMIN_PASSWORD. Without them, a password is generated once and stored
in the data folder, where only its owner can read it.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts import user
from contracts.failure import InvalidRequest
from contracts.user import MakeAdmin
from infra.messaging import connection
from infra.messaging.rpc_client import RpcClient
from infra.ops.cli.running_stack import RunningStack
from infra.ops.devstack.endpoints import StackEndpoints
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.secret_files import OPERATOR

DEFAULT_EMAIL = "admin@souk.example"
PASSWORD_FILE = "admin_password"  # noqa: S105 - the name of a file
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=60)
MAX_ATTEMPTS = 8
WAIT_WORTH_TELLING_SECONDS = 1.0
RETRY_STATUSES = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


class AdminSettings(BaseSettings):
    """The administrator's e-mail address and password."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", env_file=".env", extra="ignore", frozen=True)

    admin_email: str = ""
    admin_password: SecretStr = SecretStr("")


@dataclass(frozen=True, slots=True)
class AdminCredentials:
    """What the administrator logs in with."""

    email: str
    password: SecretStr


class ApiError(StackError):
    """The shop refused a request, with its status and its error code."""

    def __init__(self, request: str, status: int, code: str, detail: str) -> None:
        super().__init__(f"The shop refused {request}: {detail} ({code})")
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class AdminAccount:
    """The account, and whether its password has just been generated, so that the user has to be told."""

    credentials: AdminCredentials
    is_password_new: bool


async def ensure_admin(endpoints: StackEndpoints) -> AdminAccount:
    """Returns the administrator of a local stack. Creates the account as the operator if there is none."""
    settings = AdminSettings()
    given = settings.admin_password.get_secret_value()
    new = not given and not (endpoints.secrets.root / PASSWORD_FILE).exists()
    credentials = AdminCredentials(
        settings.admin_email or DEFAULT_EMAIL, SecretStr(given or endpoints.secrets.get_or_create("", PASSWORD_FILE))
    )
    try:
        request = MakeAdmin(email=credentials.email, password=credentials.password)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise StackError(f"SOUK_ADMIN_{name.upper()} is not valid: {error.errors()[0]['msg']}.") from None
    async with connection.connect(endpoints.nats_url, OPERATOR, endpoints.nats_password(OPERATOR)) as client:
        try:
            await RpcClient(client, timeout_seconds=10).request(user.MAKE_ADMIN, request)
        except InvalidRequest as fail:
            reasons = "; ".join(f"SOUK_ADMIN_{error.pointer[1:].upper()}: {error.detail}" for error in fail.errors)
            raise StackError(f"The administrator's account was refused. {reasons}") from fail
    return AdminAccount(credentials, new)


def credentials_from_environment() -> AdminCredentials:
    """Returns the credentials for a shop that this machine does not run, which only the environment can name."""
    settings = AdminSettings()
    if not settings.admin_email or not settings.admin_password.get_secret_value():
        raise StackError("Set SOUK_ADMIN_EMAIL and SOUK_ADMIN_PASSWORD to the shop's administrator.")
    return AdminCredentials(settings.admin_email, settings.admin_password)


class AdminApi:
    """The HTTP API. A request that the shop is too busy for is retried; one that it refuses raises an `ApiError`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str = "") -> None:
        self.session = session
        self.url = url.rstrip("/")
        self.token = token
        self.on_wait: Callable[[float], None] | None = None
        """Called with the seconds that the shop asks to wait before a retry, when they are worth telling."""

    async def get(self, path: str) -> Any:
        """Returns the JSON at a path below /api/v1."""
        return await self.request("GET", path, lambda: None)

    async def post(self, path: str, body: Any, *, idempotency_key: str = "") -> Any:
        """Posts JSON. Without an idempotency key, each call gets its own, so that a retry has no second effect."""
        return await self.request(
            "POST", path, lambda: orjson.dumps(body), content_type="application/json", idempotency_key=idempotency_key
        )

    async def request(
        self,
        method: str,
        path: str,
        make_body: Callable[[], Any],
        *,
        content_type: str | None = None,
        idempotency_key: str = "",
    ) -> Any:
        """Sends a request with retries. `make_body` builds the body for each try: a form can be sent only once."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if content_type:
            headers["Content-Type"] = content_type
        if method == "POST":
            headers["Idempotency-Key"] = idempotency_key or secrets.token_urlsafe(16)
        for tries in range(1, MAX_ATTEMPTS + 1):
            status, response, delay = await self._send_once(method, path, make_body(), headers)
            if status not in RETRY_STATUSES or tries == MAX_ATTEMPTS:
                break
            if self.on_wait is not None and delay >= WAIT_WORTH_TELLING_SECONDS:
                self.on_wait(delay)
            await asyncio.sleep(delay)
        if status >= HTTPStatus.BAD_REQUEST:
            raise ApiError(
                f"{method} {path}", status, response.get("code", str(status)), response.get("detail", "no reason")
            )
        return response

    async def _send_once(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any, float]:
        try:
            async with self.session.request(
                method, f"{self.url}/api/v1{path}", data=body, headers=headers, allow_redirects=False
            ) as response:
                return (
                    response.status,
                    _parse_json(await response.read()),
                    _retry_delay(response.headers.get("Retry-After")),
                )
        except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, TimeoutError):
            raise StackError(f"No shop answers at {self.url}. Start it with `souk up`, or check --url.") from None


@asynccontextmanager
async def log_in(url: str, credentials: AdminCredentials) -> AsyncIterator[AdminApi]:
    """Logs in and yields the API with the administrator's token."""
    async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT) as session:
        api = AdminApi(session, url)
        body = {"email": credentials.email, "password": credentials.password.get_secret_value()}
        try:
            session_body = await api.post("/auth/login", body)
        except ApiError as refusal:
            raise _login_error(credentials, refusal) from None
        if session_body["user"]["role"] != "admin":
            raise StackError(
                f"{credentials.email} is not an administrator of the shop. Set SOUK_ADMIN_EMAIL to one who is."
            )
        yield AdminApi(session, url, session_body["access_token"])


@asynccontextmanager
async def log_in_as_admin(data: Path | None, url: str) -> AsyncIterator[AdminApi]:
    """Logs in to the shop at an address, or else to the local one that runs on a data folder."""
    if url:
        address, credentials = url, credentials_from_environment()
    else:
        running = RunningStack(data)
        address, credentials = running.http_url, (await ensure_admin(running)).credentials
    async with log_in(address, credentials) as api:
        yield api


def _login_error(credentials: AdminCredentials, refusal: ApiError) -> StackError:
    if refusal.code != "invalid_credentials":
        return refusal
    return StackError(
        f"The shop refuses the password of {credentials.email}. "
        "Set SOUK_ADMIN_EMAIL and SOUK_ADMIN_PASSWORD to an administrator of the shop."
    )


def _parse_json(body: bytes) -> Any:
    """Returns the JSON, or an empty object: a proxy in front of the shop may answer with a page of its own."""
    try:
        return orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        return {}


def _retry_delay(header: str | None) -> float:
    """Returns the seconds to wait before the next try."""
    return float(header) if header and header.replace(".", "", 1).isdigit() else 0.5
