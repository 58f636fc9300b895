"""The edge's settings."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from infra.foundation.settings import Settings

IpNetwork = IPv4Network | IPv6Network
LOOPBACK_NETWORKS = "127.0.0.0/8,::1/128"


class EdgeSettings(Settings):
    """The settings of an edge process.

    Lists are separated by commas: `SOUK_EDGE_CORS_ORIGINS=https://shop.example,https://admin.shop.example`.
    """

    edge_host: str = "127.0.0.1"
    edge_port: int = Field(8081, ge=0, le=65535)
    edge_timeout: float = Field(10.0, gt=0, description="Seconds that a request waits for a service.")
    edge_try_timeout: float = Field(
        4.0, gt=0, description="Seconds after which an idempotent request is retried; longer than `ask_timeout`."
    )
    edge_max_in_flight: int = Field(
        512, gt=0, description="Maximum of requests in flight; one service may have half of them."
    )
    edge_latency_target: float = Field(
        0.4,
        gt=0,
        description="Seconds that a response should take; when many take longer, fewer requests are accepted.",
    )
    edge_silence: float = Field(2.0, gt=0, description="Seconds without a response after which a circuit opens.")
    edge_silent_asks: int = Field(5, gt=0, description="Unanswered requests that it takes for a circuit to open.")
    edge_probe_pause: float = Field(
        1.0, gt=0, description="Seconds between two health probes of a service whose circuit is open."
    )
    edge_cache_seconds: float = Field(
        1.0, ge=0, le=60, description="Seconds for which public replies are kept, at most their `max-age`; 0: none are."
    )
    edge_cache_bytes: int = Field(
        16 * 1024 * 1024, gt=0, description="Memory for them; each counts with its size and 1 KiB."
    )
    edge_sample: float = Field(
        0.1, ge=0, le=1, description="Share of new traces that are recorded, where traces are exported."
    )
    edge_idempotency_required: bool = Field(
        default=False, description="Refuse orders, payments and refunds without an Idempotency-Key."
    )
    edge_limits: float = Field(1.0, gt=0, le=1000, description="Factor on every rate limit.")
    edge_unlimited: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        "", validate_default=True, description="Networks without rate limits, such as your own servers."
    )
    edge_cors_origins: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(), description="Origins whose pages may call the API (CORS)."
    )
    edge_proxy_secret: SecretStr = Field(
        SecretStr(""), description="Secret by which the edge knows its own Nginx, whose X-Forwarded-For is trusted."
    )
    edge_trusted_proxies: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        "",
        validate_default=True,
        description="Networks of other proxies, without the secret, whose X-Forwarded-For is trusted.",
    )
    edge_metrics_networks: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        LOOPBACK_NETWORKS, validate_default=True, description="Networks that may read /metrics."
    )
    edge_heartbeat: float = Field(
        15.0,
        gt=0,
        lt=60,
        description="Seconds without an event after which a stream of server-sent events gets a comment.",
    )
    edge_linger: float = Field(
        4.0, ge=0, description="Seconds that open connections are served at shutdown; longer than Nginx keeps one idle."
    )

    @field_validator("edge_cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        return frozenset(_split(value)) if isinstance(value, str) else value

    @field_validator("edge_trusted_proxies", "edge_metrics_networks", "edge_unlimited", mode="before")
    @classmethod
    def _parse_networks(cls, value: object) -> object:
        return tuple(ip_network(part) for part in _split(value)) if isinstance(value, str) else value


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]
