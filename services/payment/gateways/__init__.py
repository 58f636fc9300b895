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
from services.payment.domain.payments import Outcome
from services.payment.gateways.circuit_breaker import Breaker

FAILURES, PAUSE = 10, 5.0


class GatewayError(Exception):
    """The gateway failed; whether it did what was asked is not known."""


class GatewayAway(GatewayError):  # noqa: N818 - says what it is
    """The gateway was not asked at all: it has failed so often that it is left alone for a while."""


class RefundRefused(Exception):  # noqa: N818 - an answer, not an accident
    """The gateway will not give this back. `str(error)` is its code for why."""


class Kind(StrEnum):
    CHARGE = "charge"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that the gateway says has moved: a charge under a payment's id, or a refund of one under the refund's."""

    kind: Kind
    key: UUID
    charge_key: UUID
    money: Money
    at: datetime


class Gateway(Protocol):
    name: str

    def accepts(self, method: str) -> bool:
        """Whether this is a token of this gateway's."""

    async def charge(self, key: UUID, money: Money, method: str) -> Outcome: ...

    async def confirm(self, key: UUID) -> Outcome:
        """The second step was taken."""

    async def void(self, key: UUID, money: Money) -> Outcome:
        """Captures nothing under this key from now on; `captured` when that came first."""

    async def refund(self, key: UUID, charge_key: UUID, money: Money) -> None:
        """Gives money back; raises `RefundRefused` when the gateway will not."""

    async def find(self, key: UUID) -> Outcome | None:
        """What became of a charge; None when there is none, or its end is not known yet."""

    async def refunded(self, key: UUID) -> bool:
        """Whether this refund has been given back."""

    def every(self, kind: Kind) -> AsyncIterator[Movement]:
        """All that has ever moved of a kind, in the order of keys, with no more than a page of it in memory."""

    def since(self, moment: datetime) -> AsyncIterator[Movement]:
        """What has moved since then: the charges, then the refunds, each in order of time."""


class Gateways:
    """The gateways of the shop, by what they accept and by name, each behind a breaker of its own."""

    def __init__(self, gateways: Sequence[Gateway], *, failures: int = FAILURES, pause: float = PAUSE) -> None:
        self.default = gateways[0].name
        self.pause = pause
        self._all = {gateway.name: gateway for gateway in gateways}
        self.breakers = {name: Breaker(name, failures=failures, pause=pause) for name in self._all}

    def accepting(self, method: str) -> Gateway | None:
        return next((gateway for gateway in self._all.values() if gateway.accepts(method)), None)

    def named(self, provider: str) -> Gateway:
        return self._all[provider]

    @contextmanager
    def asking(self, gateway: Gateway) -> Iterator[None]:
        """Around every call. Raises `GatewayAway` instead while the gateway is left alone."""
        breaker = self.breakers[gateway.name]
        if not breaker.lets_through():
            raise GatewayAway(f"{gateway.name} is left alone for a while")
        try:
            yield
        except (GatewayError, TimeoutError):
            breaker.failed()
            raise
        except RefundRefused:
            breaker.answered()
            raise
        breaker.answered()
