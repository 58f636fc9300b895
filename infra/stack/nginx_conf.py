"""The configuration of Nginx, rendered from the templates in `nginx/`: for the local stack, and for compose.

python -m infra.stack.nginx_conf --edge edge:8081 --run-dir /var/lib/nginx --host 0.0.0.0 > nginx.conf
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from contracts.failure import (
    Fail,
    InternalError,
    Malformed,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    TimedOut,
    TooManyRequests,
    Unavailable,
)

TEMPLATES = Path(__file__).parents[2] / "nginx"
LOOPBACK_NETWORKS = ("127.0.0.0/8", "::1")

REFUSALS: Mapping[int, tuple[type[Fail], str | None, int | None]] = {
    400: (Malformed, None, None),
    403: (NotFound, "There is nothing at this path.", None),
    404: (NotFound, "There is nothing at this path.", None),
    405: (MethodNotAllowed, None, None),
    408: (Malformed, "The request did not arrive in time.", None),
    413: (PayloadTooLarge, None, None),
    414: (Malformed, "The address is too long.", None),
    429: (TooManyRequests, "Too many requests from this address.", 1),
    494: (Malformed, "The headers are too large.", None),
    500: (InternalError, None, None),
    501: (Malformed, "The transfer coding is not known.", None),
    502: (Unavailable, None, 1),
    503: (Unavailable, None, 1),
    504: (TimedOut, None, None),
}
"""What Nginx refuses by itself, and the failure of ours that it is: detail, and seconds to wait."""


@dataclass(frozen=True)
class Limits:
    """What one address may do. `burst` is what may come at once."""

    writes_per_second: int = 100
    writes_burst: int = 300
    auth_per_minute: int = 600
    auth_burst: int = 60


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
) -> str:
    """The whole configuration. `edges` are `host:port`; all that Nginx writes goes into `run_dir`."""
    environment = Environment(  # noqa: S701 - it writes a configuration, not HTML
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("nginx.conf.j2").render(
        http_port=http_port,
        edges=edges,
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
    problem = kind(detail, retry_after=retry_after).problem("$souk_request_id")
    body = problem.model_dump_json(exclude_none=True)
    assert "'" not in body, "the body stands in quotes"
    return _Problem(HTTPStatus(problem.status), body, retry_after)


def main(
    edge: Annotated[list[str], typer.Option(help="host:port of an edge; repeat it for more")],
    run_dir: Annotated[Path, typer.Option(help="where Nginx keeps what it writes")],
    host: str = "127.0.0.1",
    http_port: int = 8080,
    tls_port: int = 8443,
    tls_certificate: Annotated[Path | None, typer.Option(help="with --tls-key: speak TLS, and send HTTP there")] = None,
    tls_key: Path | None = None,
    workers: str = "auto",
    limits: bool = True,  # noqa: FBT001, FBT002 - a flag of the command
    cache: bool = True,  # noqa: FBT001, FBT002
    metrics_network: Annotated[list[str], typer.Option(help="who may read /metrics")] = list(LOOPBACK_NETWORKS),  # noqa: B008
    trusted_proxy: Annotated[list[str], typer.Option(help="whose X-Forwarded-For is believed")] = [],  # noqa: B006
) -> None:
    """Prints the configuration of Nginx."""
    tls = Tls(tls_certificate, tls_key, tls_port) if tls_certificate and tls_key else None
    sys.stdout.write(
        render(
            http_port=http_port,
            edges=edge,
            run_dir=run_dir,
            limits=limits,
            cache=cache,
            host=host,
            workers=workers,
            tls=tls,
            metrics_networks=metrics_network,
            trusted_proxies=trusted_proxy,
        )
    )


if __name__ == "__main__":
    typer.run(main)
