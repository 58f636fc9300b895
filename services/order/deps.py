"""What the handlers and workers of the order service work with."""

from dataclasses import dataclass, field
from uuid import UUID

from infra.database.postgres import Database
from infra.messaging.rpc import RpcClient
from infra.runtime.service import Resources
from services.order.settings import OrderSettings


@dataclass(frozen=True, slots=True)
class OrderDeps:
    """The database, the RPC client, and the times from the settings."""

    db: Database
    rpc: RpcClient
    pay_within_seconds: float
    """How long a customer may take to pay."""
    hold_margin_seconds: float
    """How much longer than that the stock stays held."""
    release_after_seconds: float
    """After this time no process can still be working on a hold or its order."""
    pending_releases: dict[UUID, float] = field(default_factory=dict)
    """Holds to release, by id, each with the event loop's time when its release is due."""


def build_deps(resources: Resources[OrderSettings, Database]) -> OrderDeps:
    """Builds the dependencies from the settings and the connections of the process."""
    settings = resources.settings
    return OrderDeps(
        db=resources.store,
        rpc=resources.rpc,
        pay_within_seconds=settings.unpaid_seconds,
        hold_margin_seconds=settings.hold_margin_seconds,
        release_after_seconds=settings.left_hold_pause,
    )
