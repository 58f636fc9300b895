"""Payment gateways: the companies that move the money. Every call carries an id of ours as its idempotency key.

A call returns a final answer, or raises `GatewayError` (an invalid answer, or no connection) or `TimeoutError`. After
either the outcome is unknown, and the same call under the same key finds it out.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from opentelemetry.trace import SpanKind

from contracts.money import Money
from infra.foundation import trace
from services.payment.domain.charges import ChargeOutcome
from services.payment.gateways.circuit_breaker import GatewayBreaker

FAILURE_THRESHOLD, PAUSE_SECONDS = 10, 5.0


class GatewayError(Exception):
    """The gateway failed; it is unknown whether it did what was requested."""


class GatewayUnavailable(GatewayError):  # noqa: N818 - a state, not a failure of the call
    """The gateway was not called, because its circuit breaker is open."""


class RefundRefused(Exception):  # noqa: N818 - an answer, not a failure
    """The gateway refuses the refund. `str(error)` is its code for the reason."""


class MovementKind(StrEnum):
    """Whether money was charged or refunded."""

    CHARGE = "charge"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Movement:
    """A movement of money as the gateway reports it: `key` is the id of the payment charged or of the refund made."""

    kind: MovementKind
    key: UUID
    charge_key: UUID
    money: Money
    at: datetime


class PaymentGateway(Protocol):
    """What every gateway offers. A `key` is the id of a payment or of a refund."""

    name: str

    def accepts(self, method: str) -> bool:
        """Whether the payment method is a token of this gateway."""

    async def charge(self, key: UUID, money: Money, method: str) -> ChargeOutcome:
        """Charges the payment method."""

    async def confirm(self, key: UUID) -> ChargeOutcome:
        """Continues a charge after the customer's second step."""

    async def void(self, key: UUID, money: Money) -> ChargeOutcome:
        """Prevents any capture under this key from now on. Returns `captured` when that came first."""

    async def refund(self, key: UUID, charge_key: UUID, money: Money) -> None:
        """Refunds part or all of a charge. Raises `RefundRefused` when the gateway refuses."""

    async def find_charge(self, key: UUID) -> ChargeOutcome | None:
        """Returns the outcome of a charge; None when there is no such charge or no outcome yet."""

    async def has_refunded(self, key: UUID) -> bool:
        """Whether this refund was made."""

    def list_movements(self, kind: MovementKind) -> AsyncIterator[Movement]:
        """Iterates over all movements of a kind, ordered by key, with at most one page of them in memory."""

    def list_movements_since(self, moment: datetime) -> AsyncIterator[Movement]:
        """Iterates over the movements since then: the charges, then the refunds, each ordered by time."""


class GatewayRegistry:
    """The configured gateways, each behind its own circuit breaker."""

    def __init__(
        self,
        gateways: Sequence[PaymentGateway],
        *,
        failure_threshold: int = FAILURE_THRESHOLD,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self.default_name = gateways[0].name
        self.pause_seconds = pause_seconds
        self._gateways = {gateway.name: gateway for gateway in gateways}
        self.breakers = {
            name: GatewayBreaker(name, failure_threshold=failure_threshold, pause_seconds=pause_seconds)
            for name in self._gateways
        }

    def for_method(self, method: str) -> PaymentGateway | None:
        """Returns the gateway that accepts this payment method."""
        return next((gateway for gateway in self._gateways.values() if gateway.accepts(method)), None)

    def by_name(self, provider: str) -> PaymentGateway:
        """Returns the gateway with this name."""
        return self._gateways[provider]

    @contextmanager
    def guarded_call(self, gateway: PaymentGateway) -> Iterator[None]:
        """Wraps a call and records its success or failure. Raises `GatewayUnavailable` while the breaker is open."""
        breaker = self.breakers[gateway.name]
        if not breaker.allow_call():
            raise GatewayUnavailable(f"the circuit breaker of {gateway.name} is open")
        try:
            with trace.child_span(f"call {gateway.name}", SpanKind.CLIENT, {"souk.gateway": gateway.name}):
                yield
        except (GatewayError, TimeoutError):
            breaker.record_failure()
            raise
        except RefundRefused:
            breaker.record_success()
            raise
        breaker.record_success()
