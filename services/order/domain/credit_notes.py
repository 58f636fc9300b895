"""What a credit note says: the invoice that it corrects, and the part of it that went back to the buyer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.money import allocate, divide_half_up
from services.order.domain.invoices import (
    InvoiceDocument,
    InvoiceDraft,
    InvoiceLine,
    InvoiceLineKind,
    InvoiceRecord,
    InvoiceReference,
    InvoiceTax,
)


@dataclass(frozen=True, slots=True)
class InvoicedRefund:
    """Money that went back to the buyer of an order that has an invoice."""

    order_id: UUID
    refund_id: UUID
    amount: int
    """Minor units of the order's currency, with the tax."""
    credit_note_series: str


def draft_credit_note(
    invoice: InvoiceRecord, earlier: Sequence[InvoiceDocument], refund: InvoicedRefund, at: datetime
) -> InvoiceDraft:
    """Builds the credit note of a refund.

    `earlier` are the documents of the invoice's credit notes so far. Each takes its share of the tax that is left, so
    together those of a whole refund give back exactly the tax of the invoice.
    """
    document = invoice.document
    is_whole = not earlier and refund.amount == document.total
    taxes = document.taxes if is_whole else _share_of_taxes(document.taxes, document.total, earlier, refund.amount)
    tax = sum(one.amount for one in taxes)
    corrected = document.model_copy(
        update={
            "lines": document.lines if is_whole else [_refund_line(refund.amount, tax, taxes)],
            "taxes": taxes,
            "tax": tax,
            "total": refund.amount,
            "corrects": InvoiceReference(number=invoice.full_number, issued_at=invoice.issued_at),
        }
    )
    return InvoiceDraft(invoice.order_id, len(earlier) + 1, refund.refund_id, refund.credit_note_series, at, corrected)


def _share_of_taxes(
    taxes: Sequence[InvoiceTax], total: int, earlier: Sequence[InvoiceDocument], amount: int
) -> list[InvoiceTax]:
    """Divides the tax of a part among the rates, in proportion to what is left of each."""
    left = max(total - sum(note.total for note in earlier), amount)
    bases = [_left(one.base, [note.taxes[at].base for note in earlier]) for at, one in enumerate(taxes)]
    amounts = [_left(one.amount, [note.taxes[at].amount for note in earlier]) for at, one in enumerate(taxes)]
    tax = divide_half_up(sum(amounts) * amount, left) if left else 0
    shares = allocate(tax, amounts) if tax else [0] * len(taxes)
    return [
        one.model_copy(update={"base": divide_half_up(base * amount, left) if left else 0, "amount": share})
        for one, base, share in zip(taxes, bases, shares, strict=True)
    ]


def _left(whole: int, parts: Sequence[int]) -> int:
    return max(whole - sum(parts), 0)


def _refund_line(amount: int, tax: int, taxes: Sequence[InvoiceTax]) -> InvoiceLine:
    return InvoiceLine(
        kind=InvoiceLineKind.REFUND,
        unit_price=amount,
        rates_ppm=list(dict.fromkeys(one.rate_ppm for one in taxes)),
        net=amount - tax,
        tax=tax,
        gross=amount,
    )
