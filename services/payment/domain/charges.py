"""Charging a payment at its gateway: what to ask next, when to ask again, and what the gateway can answer."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from contracts.money import Money

ORDER_CANCELLED = "order_cancelled"
UNITS_CANCELLED = "units_cancelled"
GATEWAY_TIMEOUT = "gateway_timeout"
METHOD_UNKNOWN = "payment_method_unknown"
METHOD_MISSING = "payment_method_missing"
GIFT_CARDS_RELEASED = "gift_cards_released"

FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.25, 30.0


class ChargeStep(StrEnum):
    """What the gateway is asked to do for a charge."""

    CHARGE = "charge"
    CONFIRM = "confirm"
    VOID = "void"


class ChargeState(StrEnum):
    """What the gateway reports about a charge. All but `action_required` are final."""

    CAPTURED = "captured"
    DECLINED = "declined"
    ACTION_REQUIRED = "action_required"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class ChargeOutcome:
    """The gateway's answer about a charge."""

    state: ChargeState
    failure_code: str | None = None
    client_secret: str | None = None


@dataclass(frozen=True, slots=True)
class ChargeAttempt:
    """Claimed work on a charge of `money`. `tries` includes this try; `method` is None until order has returned it.

    `cancelled` means that the order has ended, `overdue` that the payment has been processing for too long.
    `gift_cards_held` means that the part that gift cards pay is still on hold, or that there is none.
    """

    payment_id: UUID
    order_id: UUID
    money: Money
    provider: str
    step: ChargeStep
    method: str | None
    tries: int
    cancelled: bool
    overdue: bool
    traceparent: str
    request_id: str
    gift_cards_held: bool = True


def outcome_without_gateway(attempt: ChargeAttempt) -> ChargeOutcome | None:
    """Returns the outcome of an attempt that needs no gateway; None for any other.

    Without its gift cards a payment must not begin: the gateway would charge only a part of the order. Where gift cards
    or a coupon leave nothing to charge, there is nothing to ask.
    """
    if not attempt.gift_cards_held:
        return ChargeOutcome(ChargeState.DECLINED, GIFT_CARDS_RELEASED)
    if attempt.money.amount:
        return None
    if attempt.cancelled or attempt.overdue:
        return ChargeOutcome(ChargeState.VOIDED, ORDER_CANCELLED if attempt.cancelled else None)
    return ChargeOutcome(ChargeState.CAPTURED)


def next_step(attempt: ChargeAttempt) -> ChargeStep | None:
    """Returns what to ask of the gateway; None when the payment can end without a call.

    Once the gateway may have received an unwanted charge, only voiding it tells how the payment ends. What is not
    captured by then never will be.
    """
    if not (attempt.cancelled or attempt.overdue):
        return attempt.step
    if attempt.step is ChargeStep.CHARGE and attempt.tries == 1:
        return None
    return ChargeStep.VOID


def needs_method(attempt: ChargeAttempt) -> bool:
    """Whether order has to be asked for the payment method, and whether it still wants the charge."""
    is_charged = outcome_without_gateway(attempt) is None and next_step(attempt) is ChargeStep.CHARGE
    return is_charged and attempt.method is None


def retry_delay_seconds(tries: int) -> float:
    """Returns the seconds until a gateway that gave no clear answer is asked again."""
    return float(min(FIRST_DELAY_SECONDS * 2 ** min(tries, 16), MAX_DELAY_SECONDS))
