"""What an invoice says: a snapshot of the order at the moment it was paid, from which alone its PDF is made.

All amounts are minor units of the document's currency.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import ConfigDict

from contracts.model import Model
from contracts.money import Money
from contracts.order import Address, InvoiceKind, IssuedInvoice, Order, OrderItem, TaxLine, TaxReason

INVOICE_POSITION = 0
"""The position of the invoice among the numbered documents of its order; its credit notes follow from 1."""


class StoredModel(Model):
    """A part of a stored document. A newer release may have written fields that this one does not know."""

    model_config = ConfigDict(extra="ignore")


class InvoiceParty(StoredModel):
    """The seller or the buyer."""

    name: str
    lines: list[str]
    """The address, without the country."""
    country: str | None = None
    """ISO 3166-1 alpha-2 code."""
    vat_id: str | None = None


class InvoiceLineKind(StrEnum):
    """What a line is about."""

    GOODS = "goods"
    SHIPPING = "shipping"
    REFUND = "refund"
    """A part of the invoice's total that was paid back."""


class InvoiceLine(StoredModel):
    """A line. `gross` is `net` and `tax` together; the unit price and the discount are as the order states them."""

    kind: InvoiceLineKind
    name: str = ""
    sku: str = ""
    quantity: int = 1
    unit_price: int
    discount: int = 0
    rates_ppm: list[int] = []
    net: int
    tax: int
    gross: int


class InvoiceTax(StoredModel):
    """The sum of one rate of tax. `base` is what the rate applies to."""

    name: str
    rate_ppm: int
    base: int
    amount: int
    reason: TaxReason


class InvoiceReference(StoredModel):
    """The invoice that a credit note corrects."""

    number: str
    issued_at: datetime


class InvoiceDocument(StoredModel):
    """All that is printed, save for the number and the date of issue."""

    language: str
    time_zone: str
    currency: str
    order_number: str
    ordered_at: datetime
    seller: InvoiceParty
    buyer: InvoiceParty
    lines: list[InvoiceLine]
    tax_included: bool
    taxes: list[InvoiceTax]
    tax: int
    total: int
    corrects: InvoiceReference | None = None

    @property
    def net(self) -> int:
        """The total without the tax."""
        return self.total - self.tax


class PrintedInvoice(StoredModel):
    """An invoice or a credit note as its PDF shows it."""

    kind: InvoiceKind
    number: str
    issued_at: datetime
    document: InvoiceDocument


@dataclass(frozen=True, slots=True)
class InvoiceTerms:
    """What the settings say about invoices."""

    seller: InvoiceParty
    series: str
    credit_note_series: str
    language: str
    time_zone: ZoneInfo
    """In which the year of a number begins."""


@dataclass(frozen=True, slots=True)
class InvoiceDraft:
    """An invoice or a credit note before it has a number."""

    order_id: UUID
    position: int
    refund_id: UUID | None
    series: str
    issued_at: datetime
    document: InvoiceDocument

    @property
    def year(self) -> int:
        """The year of its number: that of its date in the shop's time zone."""
        return self.issued_at.astimezone(ZoneInfo(self.document.time_zone)).year


@dataclass(frozen=True, slots=True)
class InvoiceRecord:
    """A stored invoice or credit note."""

    series: str
    year: int
    number: int
    order_id: UUID
    position: int
    issued_at: datetime
    document: InvoiceDocument
    pdf_sha256: bytes | None

    @property
    def full_number(self) -> str:
        """The number as it is printed, such as `INV-2026-000042`."""
        return f"{self.series}-{self.year}-{self.number:06d}"

    @property
    def kind(self) -> InvoiceKind:
        """Whether it is the order's invoice or one of its credit notes."""
        return InvoiceKind.INVOICE if self.position == INVOICE_POSITION else InvoiceKind.CREDIT_NOTE

    @property
    def object_name(self) -> str:
        """The name of its PDF in the object store, once that is made. Another content has another name."""
        assert self.pdf_sha256 is not None, "the PDF is not made yet"
        return f"{self.full_number}/{self.pdf_sha256.hex()}"

    def to_printed(self) -> PrintedInvoice:
        """Returns what its PDF is made from."""
        return PrintedInvoice(kind=self.kind, number=self.full_number, issued_at=self.issued_at, document=self.document)

    def to_contract(self) -> IssuedInvoice:
        """Returns what an export of personal data says of it."""
        return IssuedInvoice(
            number=self.full_number,
            kind=self.kind,
            order_id=self.order_id,
            issued_at=self.issued_at,
            total=Money(amount=self.document.total, currency=self.document.currency),
        )


def draft_invoice(order: Order, terms: InvoiceTerms, at: datetime) -> InvoiceDraft:
    """Builds the invoice of an order that has just been paid."""
    lines = [_goods_line(order, item) for item in order.items]
    if order.shipping.amount:
        lines.append(_shipping_line(order))
    document = InvoiceDocument(
        language=terms.language,
        time_zone=terms.time_zone.key,
        currency=order.total.currency,
        order_number=order.number,
        ordered_at=order.created_at,
        seller=terms.seller,
        buyer=_buyer(order.billing_address or order.shipping_address),
        lines=lines,
        tax_included=order.tax_included,
        taxes=[_tax(line) for line in order.tax_lines],
        tax=order.tax.amount,
        total=order.total.amount,
    )
    return InvoiceDraft(order.id, INVOICE_POSITION, None, terms.series, at, document)


def _goods_line(order: Order, item: OrderItem) -> InvoiceLine:
    options = ", ".join(item.options.values())
    net, tax, gross = _split(order, item.line_total.amount - item.discount.amount, item.tax_lines)
    return InvoiceLine(
        kind=InvoiceLineKind.GOODS,
        name=f"{item.name}, {options}" if options else item.name,
        sku=item.sku,
        quantity=item.quantity,
        unit_price=item.unit_price.amount,
        discount=item.discount.amount,
        rates_ppm=_rates(item.tax_lines),
        net=net,
        tax=tax,
        gross=gross,
    )


def _shipping_line(order: Order) -> InvoiceLine:
    """Shipping with the taxes on every line's share of it."""
    taxes = [tax for item in order.items for tax in item.shipping_tax_lines]
    net, tax, gross = _split(order, order.shipping.amount - order.shipping_discount.amount, taxes)
    return InvoiceLine(
        kind=InvoiceLineKind.SHIPPING,
        unit_price=order.shipping.amount,
        discount=order.shipping_discount.amount,
        rates_ppm=_rates(taxes),
        net=net,
        tax=tax,
        gross=gross,
    )


def _split(order: Order, paid: int, taxes: Iterable[TaxLine]) -> tuple[int, int, int]:
    """Returns net, tax and gross of an amount that includes the tax if the order's prices do."""
    tax = sum(line.amount.amount for line in taxes)
    return (paid - tax, tax, paid) if order.tax_included else (paid, tax, paid + tax)


def _rates(taxes: Sequence[TaxLine]) -> list[int]:
    """The distinct rates, in the order of computation."""
    return list(dict.fromkeys(line.rate_ppm for line in taxes))


def _tax(line: TaxLine) -> InvoiceTax:
    return InvoiceTax(
        name=line.name,
        rate_ppm=line.rate_ppm,
        base=line.base.amount,
        amount=line.amount.amount,
        reason=line.reason,
    )


def _buyer(address: Address) -> InvoiceParty:
    place = " ".join(part for part in (address.postal_code, address.city) if part)
    lines = [address.company, address.line1, address.line2, place, address.region]
    return InvoiceParty(
        name=address.name,
        lines=[line for line in lines if line],
        country=address.country,
        vat_id=address.vat_id,
    )
