"""Gateways: the companies that move the money. Every call carries our own id as its idempotency key.

A call answers for good, or raises `GatewayError` (it said no sense, or could not be reached) or `TimeoutError`: then
nobody knows, and the same call with the same key is the way to find out.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from contracts.money import Money
from services.payment.domain.payments import ChargeOutcome
from services.payment.gateways.circuit_breaker import GatewayBreaker

FAILURE_THRESHOLD, PAUSE_SECONDS = 10, 5.0


class GatewayError(Exception):
    """The gateway failed; whether it did what was asked is not known."""


class GatewayUnavailable(GatewayError):  # noqa: N818 - says what it is
    """The gateway was not asked at all: it has failed so often that it is left alone for a while."""


class RefundRefused(Exception):  # noqa: N818 - an answer, not an accident
    """The gateway will not give this back. `str(error)` is its code for why."""


class MovementKind(StrEnum):
    CHARGE = "charge"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that the gateway says has moved: a charge under a payment's id, or a refund of one under the refund's."""

    kind: MovementKind
    key: UUID
    charge_key: UUID
    money: Money
    at: datetime


class PaymentGateway(Protocol):
    name: str

    def accepts(self, method: str) -> bool:
        """Whether this is a token of this gateway's."""

    async def charge(self, key: UUID, money: Money, method: str) -> ChargeOutcome: ...

    async def confirm(self, key: UUID) -> ChargeOutcome:
        """The second step was taken."""

    async def void(self, key: UUID, money: Money) -> ChargeOutcome:
        """Captures nothing under this key from now on; `captured` when that came first."""

    async def refund(self, key: UUID, charge_key: UUID, money: Money) -> None:
        """Gives money back; raises `RefundRefused` when the gateway will not."""

    async def find_charge(self, key: UUID) -> ChargeOutcome | None:
        """What became of a charge; None when there is none, or its end is not known yet."""

    async def has_refunded(self, key: UUID) -> bool:
        """Whether this refund has been given back."""

    def list_movements(self, kind: MovementKind) -> AsyncIterator[Movement]:
        """All that has ever moved of a kind, in the order of keys, with no more than a page of it in memory."""

    def list_movements_since(self, moment: datetime) -> AsyncIterator[Movement]:
        """What has moved since then: the charges, then the refunds, each in order of time."""


class GatewayRegistry:
    """The gateways of the shop, by what they accept and by name, each behind a breaker of its own."""

    def __init__(
        self,
        gateways: Sequence[PaymentGateway],
        *,
        failure_threshold: int = FAILURE_THRESHOLD,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self.default_name = gateways[0].name
        self.pause_seconds = pause_seconds
        self._all = {gateway.name: gateway for gateway in gateways}
        self.breakers = {
            name: GatewayBreaker(name, failure_threshold=failure_threshold, pause_seconds=pause_seconds)
            for name in self._all
        }

    def for_method(self, method: str) -> PaymentGateway | None:
        return next((gateway for gateway in self._all.values() if gateway.accepts(method)), None)

    def by_name(self, provider: str) -> PaymentGateway:
        return self._all[provider]

    @contextmanager
    def guarded_call(self, gateway: PaymentGateway) -> Iterator[None]:
        """Around every call. Raises `GatewayAway` instead while the gateway is left alone."""
        breaker = self.breakers[gateway.name]
        if not breaker.allow_call():
            raise GatewayUnavailable(f"{gateway.name} is left alone for a while")
        try:
            yield
        except (GatewayError, TimeoutError):
            breaker.record_failure()
            raise
        except RefundRefused:
            breaker.record_success()
            raise
        breaker.record_success()
