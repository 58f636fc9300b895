"""What an edge process needs to know."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from infra.foundation.settings import Settings

IpNetwork = IPv4Network | IPv6Network
LOOPBACK_NETWORKS = "127.0.0.0/8,::1/128"


class EdgeSettings(Settings):
    """Lists are written with commas: `SOUK_EDGE_CORS_ORIGINS=https://shop.example,https://admin.shop.example`."""

    edge_host: str = "127.0.0.1"
    edge_port: int = Field(8081, ge=0, le=65535)
    edge_timeout: float = Field(10.0, gt=0, description="Seconds a client waits for a service.")
    edge_try_timeout: float = Field(
        4.0, gt=0, description="Seconds after which what may be repeated is asked again; longer than `ask_timeout`."
    )
    edge_max_in_flight: int = Field(
        512, gt=0, description="Requests at work at once, at the very most; half of it for one service."
    )
    edge_latency_target: float = Field(
        0.4, gt=0, description="Seconds an answer should take: when many take longer, less is taken in."
    )
    edge_silence: float = Field(2.0, gt=0, description="Seconds without any answer after which a circuit opens.")
    edge_silent_asks: int = Field(5, gt=0, description="Asks that must be without an answer for a circuit to open.")
    edge_probe_pause: float = Field(1.0, gt=0, description="Seconds between two looks whether it is back.")
    edge_sample: float = Field(0.0, ge=0, le=1, description="The share of new traces that are recorded.")
    edge_idempotency_required: bool = Field(
        default=False, description="Refuse orders, payments and refunds without an Idempotency-Key."
    )
    edge_limits: float = Field(1.0, gt=0, le=1000, description="Every limit of a customer or an address times this.")
    edge_unlimited: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        "", validate_default=True, description="Networks whose requests are not counted: one's own servers."
    )
    edge_cors_origins: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(), description="Origins whose pages may call the API."
    )
    edge_trusted_proxies: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        LOOPBACK_NETWORKS, validate_default=True, description="Peers whose X-Forwarded-For is believed: Nginx."
    )
    edge_metrics_networks: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        LOOPBACK_NETWORKS, validate_default=True, description="Clients that may read /metrics."
    )
    edge_linger: float = Field(
        4.0, ge=0, description="Seconds of serving kept connections at the end; longer than Nginx keeps one idle."
    )

    @field_validator("edge_cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        return frozenset(_listed(value)) if isinstance(value, str) else value

    @field_validator("edge_trusted_proxies", "edge_metrics_networks", "edge_unlimited", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return tuple(ip_network(part) for part in _listed(value)) if isinstance(value, str) else value


def _listed(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]
