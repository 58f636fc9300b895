"""What the handlers of order work with."""

from dataclasses import dataclass

from infra.database.postgres import Database
from infra.messaging.rpc import RpcClient
from services.order.workers.hold_release import HoldReleaser


@dataclass(frozen=True, slots=True)
class OrderDeps:
    """Seconds: how long a customer may take to pay, and how much longer than that a hold lasts."""

    db: Database
    rpc: RpcClient
    hold_releaser: HoldReleaser
    pay_within_seconds: float
    hold_margin_seconds: float
