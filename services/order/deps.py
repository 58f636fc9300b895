"""What the handlers of order work with."""

from dataclasses import dataclass

from infra.database.postgres import Database
from infra.messaging.rpc import Asker
from services.order.workers.hold_release import Leftovers


@dataclass(frozen=True, slots=True)
class Shop:
    """Seconds: how long a customer may take to pay, and how much longer than that a hold lasts."""

    db: Database
    asker: Asker
    leftovers: Leftovers
    pay_within: float
    hold_margin: float
