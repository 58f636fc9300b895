"""The configuration of Nginx, rendered from the templates in `nginx/`: for the local stack, and for compose.

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
from pydantic import Field
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

TEMPLATES = Path(__file__).parents[3] / "nginx"
LOOPBACK_NETWORKS = ("127.0.0.0/8", "::1")
HERE = ("127.", "localhost:", "[::1]:")
EDGE_CONNECTIONS = 1024
"""Requests that one edge may have at once: twice what it takes in itself, which refuses more kindly."""

REFUSALS: Mapping[int, tuple[type[Fail], str | None, int | None]] = {
    400: (MalformedRequest, None, None),
    403: (NotFound, "There is nothing at this path.", None),
    404: (NotFound, "There is nothing at this path.", None),
    405: (MethodNotAllowed, None, None),
    408: (MalformedRequest, "The request did not arrive in time.", None),
    413: (PayloadTooLarge, None, None),
    414: (MalformedRequest, "The address is too long.", None),
    429: (TooManyRequests, "Too many requests from this address.", 1),
    494: (MalformedRequest, "The headers are too large.", None),
    500: (InternalError, None, None),
    501: (MalformedRequest, "The transfer coding is not known.", None),
    502: (Unavailable, None, 1),
    503: (Unavailable, None, 1),
    504: (TimedOut, None, None),
}
"""What Nginx refuses by itself, and the failure of ours that it is: detail, and seconds to wait."""


class Limits(BaseSettings):
    """What one address may do; `burst` is what may come at once. From `SOUK_NGINX_WRITES_PER_SECOND` and so on."""

    model_config = SettingsConfigDict(env_prefix="SOUK_NGINX_", env_file=".env", extra="ignore", frozen=True)

    writes_per_second: int = Field(100, gt=0)
    writes_burst: int = Field(300, gt=0)
    auth_per_minute: int = Field(600, gt=0)
    auth_burst: int = Field(150, gt=0)

    @property
    def writes_reset(self) -> int:
        """Seconds in which a whole burst is there again."""
        return math.ceil(self.writes_burst / self.writes_per_second)

    @property
    def auth_reset(self) -> int:
        return math.ceil(self.auth_burst * 60 / self.auth_per_minute)


@dataclass(frozen=True)
class Tls:
    """Where the certificate lies, and the port it is shown on."""

    certificate: Path
    key: Path
    port: int = 443


@dataclass(frozen=True)
class _Problem:
    status: int
    body: str
    retry_after: int | None


def render(
    *,
    http_port: int,
    edges: Sequence[str],
    run_dir: Path,
    limits: bool | Limits = True,
    cache: bool = True,
    host: str = "127.0.0.1",
    workers: int | str = 1,
    tls: Tls | None = None,
    metrics_networks: Sequence[str] = LOOPBACK_NETWORKS,
    trusted_proxies: Sequence[str] = (),
    edge_connections: int = EDGE_CONNECTIONS,
) -> str:
    """The whole configuration. `edges` are `host:port`; all that Nginx writes goes into `run_dir`."""
    environment = Environment(  # noqa: S701 - it writes a configuration, not HTML
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("nginx.conf.j2").render(
        http_port=http_port,
        edges=edges,
        here={edge for edge in edges if edge.startswith(HERE)},
        edge_connections=edge_connections,
        run_dir=run_dir,
        limits=Limits() if limits is True else limits,
        cache=cache,
        host=host,
        workers=workers,
        tls=tls,
        metrics_networks=metrics_networks,
        trusted_proxies=trusted_proxies,
        # Root's workers would be `nobody`, who may not write into root's folder.
        user="root root" if os.geteuid() == 0 else "",
        problems={status: _problem(*refusal) for status, refusal in REFUSALS.items()},
    )


def _problem(kind: type[Fail], detail: str | None, retry_after: int | None) -> _Problem:
    problem = kind(detail, retry_after=retry_after).to_problem("$souk_request_id")
    body = problem.model_dump_json(exclude_none=True)
    assert "'" not in body, "the body stands in quotes"
    return _Problem(HTTPStatus(problem.status), body, retry_after)


class Front(BaseSettings):
    """Nginx as its own process, in compose: `SOUK_NGINX_EDGES=edge:8081`; lists are written with commas."""

    model_config = SettingsConfigDict(env_prefix="SOUK_NGINX_", env_ignore_empty=True, extra="ignore", frozen=True)

    edges: str
    run_dir: Path
    host: str = "127.0.0.1"
    http_port: int = 8080
    workers: str = "auto"
    limits: bool = True
    cache: bool = True
    metrics_networks: str = ",".join(LOOPBACK_NETWORKS)
    trusted_proxies: str = ""
    edge_connections: int = Field(EDGE_CONNECTIONS, gt=0, description="Requests that one edge may have at once.")
    tls_port: int = 8443
    tls_certificate: Path | None = Field(None, description="With its key: speak TLS, and send HTTP there.")
    tls_key: Path | None = None


def main() -> None:
    """Prints the configuration that the environment describes."""
    front = Front()
    tls = Tls(front.tls_certificate, front.tls_key, front.tls_port) if front.tls_certificate and front.tls_key else None
    sys.stdout.write(
        render(
            http_port=front.http_port,
            edges=_listed(front.edges),
            run_dir=front.run_dir,
            limits=front.limits,
            cache=front.cache,
            host=front.host,
            workers=front.workers,
            tls=tls,
            metrics_networks=_listed(front.metrics_networks),
            trusted_proxies=_listed(front.trusted_proxies),
            edge_connections=front.edge_connections,
        )
    )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


if __name__ == "__main__":
    main()
