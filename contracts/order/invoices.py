"""Invoices and credit notes: the requests for their PDF files, and what an export of personal data says of them."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.failure import Fail
from contracts.model import Id, Model, Timestamp
from contracts.money import Money

MAX_CREDIT_NOTES = 1000
"""The highest `n` that a request may name."""


class InvoiceNotReady(Fail, status=HTTPStatus.CONFLICT, code="invoice_not_ready"):
    """The order has no invoice yet, or its PDF could not be made yet."""


class InvoiceKind(StrEnum):
    """What a numbered document is."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"


class CreditNoteRef(Model):
    """Names a credit note of an order."""

    id: Annotated[Id, Field(description="The order's id.")]
    n: Annotated[
        int, Field(ge=1, le=MAX_CREDIT_NOTES, description="Which of the order's credit notes; the first one is 1.")
    ]


class InvoiceFile(Model):
    """Stands for the reply, whose body is the PDF itself."""


class IssuedInvoice(Model):
    """An invoice or a credit note that was issued for an order."""

    number: Annotated[str, Field(description="Its number, which is unique.")]
    kind: InvoiceKind
    order_id: Id
    issued_at: Annotated[Timestamp, Field(description="When it was issued.")]
    total: Money
