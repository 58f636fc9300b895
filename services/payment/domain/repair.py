"""Decisions for the repair of a payment: which captured money to keep, and what the gateway knows better."""

from dataclasses import dataclass
from enum import Enum, auto

from contracts.payment import PaymentStatus
from services.payment.domain.charges import ChargeOutcome, ChargeState
from services.payment.domain.payments import PaymentRecord


class CaptureDecision(Enum):
    """What becomes of the money that one payment of an order has captured."""

    KEEP = auto()
    RETURN = auto()
    UNDECIDED = auto()


@dataclass(frozen=True, slots=True)
class Bill:
    """The bill of an order as one of its payments sees it.

    `cancelled` says whether the order has ended, `rival_status` is the status of the payment that the bill names, if
    that is another one.
    """

    cancelled: bool
    rival_status: PaymentStatus | None


def decide_capture(bill: Bill) -> CaptureDecision:
    """Decides about captured money: an order is paid once.

    While another payment of the order is under way, it is not known yet which of the two will pay it.
    """
    if bill.cancelled:
        return CaptureDecision.RETURN
    if bill.rival_status in (PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_ACTION):
        return CaptureDecision.UNDECIDED
    return CaptureDecision.KEEP if bill.rival_status in (None, PaymentStatus.FAILED) else CaptureDecision.RETURN


def missing_outcome(payment: PaymentRecord, known: ChargeOutcome | None, *, attempted: bool) -> ChargeOutcome | None:
    """Returns the outcome that the gateway knows and the payment lacks; None when there is none.

    `attempted` says that a worker still works on the charge and will learn the outcome itself.
    """
    if known is None:
        return None
    if payment.status is PaymentStatus.FAILED:
        return known if known.state is ChargeState.CAPTURED else None
    if payment.status is PaymentStatus.PROCESSING:
        return known if known.state is ChargeState.CAPTURED or not attempted else None
    if payment.status is PaymentStatus.REQUIRES_ACTION:
        return None if known.state is ChargeState.ACTION_REQUIRED else known
    return None
