"""Renders the Nginx configuration from the templates in `nginx/`, for the local stack and for Docker Compose.

SOUK_NGINX_EDGES=edge:8081 SOUK_NGINX_RUN_DIR=/var/lib/nginx python -m infra.ops.devstack.nginx_config > nginx.conf
"""

import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.failure import (
    Fail,
    InternalError,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    TimedOut,
    TooManyRequests,
    Unavailable,
)
from edge.client_ip import PROXY_SECRET_HEADER

TEMPLATES = Path(__file__).parents[3] / "nginx"
LOOPBACK_NETWORKS = ("127.0.0.0/8", "::1")
LOCAL_PREFIXES = ("127.", "localhost:", "[::1]:")
MAX_EDGE_CONNECTIONS = 1024
"""Requests in progress at one edge: twice the edge's own limit, since the edge refuses with a better response."""

NGINX_ERRORS: Mapping[int, tuple[type[Fail], str | None, int | None]] = {
    400: (MalformedRequest, None, None),
    403: (NotFound, "There is nothing at this path.", None),
    404: (NotFound, "There is nothing at this path.", None),
    405: (MethodNotAllowed, None, None),
    408: (MalformedRequest, "The request did not arrive in time. Send it again.", None),
    413: (PayloadTooLarge, None, None),
    414: (MalformedRequest, "The address is too long.", None),
    429: (TooManyRequests, "Too many requests from this address.", 1),
    494: (MalformedRequest, "The headers are too large.", None),
    500: (InternalError, None, None),
    501: (MalformedRequest, "The Transfer-Encoding is not supported. Use `chunked`, or send a Content-Length.", None),
    502: (Unavailable, None, 1),
    503: (Unavailable, None, 1),
    504: (TimedOut, None, None),
}
"""The errors that Nginx returns itself: for each a failure of the contracts, its detail and its Retry-After seconds."""


class NginxLimits(BaseSettings):
    """Rate limits for one client address, from `SOUK_NGINX_WRITES_PER_SECOND` and so on. A burst may arrive at once."""

    model_config = SettingsConfigDict(env_prefix="SOUK_NGINX_", env_file=".env", extra="ignore", frozen=True)

    writes_per_second: int = Field(100, gt=0)
    writes_burst: int = Field(300, gt=0)
    auth_per_minute: int = Field(600, gt=0)
    auth_burst: int = Field(150, gt=0)

    @property
    def writes_reset(self) -> int:
        """Seconds until a whole burst of writes is allowed again."""
        return math.ceil(self.writes_burst / self.writes_per_second)

    @property
    def auth_reset(self) -> int:
        """Seconds until a whole burst of authentication requests is allowed again."""
        return math.ceil(self.auth_burst * 60 / self.auth_per_minute)


@dataclass(frozen=True)
class NginxTls:
    """The files of the certificate and its key, and the port of HTTPS."""

    certificate: Path
    key: Path
    port: int = 443


@dataclass(frozen=True)
class _ErrorPage:
    status: int
    body: str
    retry_after: int | None


def render_nginx_config(
    *,
    http_port: int,
    edges: Sequence[str],
    run_dir: Path,
    limits: bool | NginxLimits = True,
    cache: bool = True,
    host: str = "127.0.0.1",
    workers: int | str = 1,
    tls: NginxTls | None = None,
    metrics_networks: Sequence[str] = LOOPBACK_NETWORKS,
    trusted_proxies: Sequence[str] = (),
    proxy_secret: str = "",
    edge_connections: int = MAX_EDGE_CONNECTIONS,
) -> str:
    """Returns the configuration. `edges` are `host:port`; Nginx writes its files into `run_dir` only."""
    environment = Environment(  # noqa: S701 - it writes a configuration, not HTML
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("nginx.conf.j2").render(
        http_port=http_port,
        edges=edges,
        here={edge for edge in edges if edge.startswith(LOCAL_PREFIXES)},
        edge_connections=edge_connections,
        run_dir=run_dir,
        limits=NginxLimits() if limits is True else limits,
        cache=cache,
        host=host,
        workers=workers,
        tls=tls,
        metrics_networks=metrics_networks,
        trusted_proxies=trusted_proxies,
        proxy_secret=proxy_secret,
        proxy_secret_header=PROXY_SECRET_HEADER,
        # Under root, workers would run as `nobody`, which may not write into root's folder.
        user="root root" if os.geteuid() == 0 else "",
        problems={status: _error_page(*refusal) for status, refusal in NGINX_ERRORS.items()},
    )


def _error_page(kind: type[Fail], detail: str | None, retry_after: int | None) -> _ErrorPage:
    problem = kind(detail, retry_after=retry_after).to_problem("$souk_request_id")
    body = problem.model_dump_json(exclude_none=True)
    assert "'" not in body, "the body stands in quotes"
    return _ErrorPage(HTTPStatus(problem.status), body, retry_after)


class NginxSettings(BaseSettings):
    """Nginx in a container of its own: `SOUK_NGINX_EDGES=edge:8081`. Commas separate the items of a list."""

    model_config = SettingsConfigDict(env_prefix="SOUK_NGINX_", env_ignore_empty=True, extra="ignore", frozen=True)

    edges: str
    run_dir: Path
    host: str = "127.0.0.1"
    http_port: int = 8080
    workers: str = "auto"
    limits: bool = True
    cache: bool = True
    metrics_networks: str = ",".join(LOOPBACK_NETWORKS)
    trusted_proxies: str = Field("", description="Networks of proxies in front of Nginx.")
    proxy_secret: SecretStr = Field(SecretStr(""), description="Proves to the edges that a request is from Nginx.")
    edge_connections: int = Field(MAX_EDGE_CONNECTIONS, gt=0, description="Requests in progress at one edge.")
    tls_port: int = 8443
    tls_certificate: Path | None = Field(None, description="With its key: serve HTTPS, and redirect HTTP to it.")
    tls_key: Path | None = None


def main() -> None:
    """Prints the configuration for the settings in the environment."""
    settings = NginxSettings(_secrets_dir=os.environ.get("SOUK_SECRETS_DIR"))
    tls = (
        NginxTls(settings.tls_certificate, settings.tls_key, settings.tls_port)
        if settings.tls_certificate and settings.tls_key
        else None
    )
    sys.stdout.write(
        render_nginx_config(
            http_port=settings.http_port,
            edges=split_list(settings.edges),
            run_dir=settings.run_dir,
            limits=settings.limits,
            cache=settings.cache,
            host=settings.host,
            workers=settings.workers,
            tls=tls,
            metrics_networks=split_list(settings.metrics_networks),
            trusted_proxies=split_list(settings.trusted_proxies),
            proxy_secret=settings.proxy_secret.get_secret_value(),
            edge_connections=settings.edge_connections,
        )
    )


def split_list(text: str) -> list[str]:
    """Returns the items of a list that commas separate."""
    return [part.strip() for part in text.split(",") if part.strip()]


if __name__ == "__main__":
    main()
