"""Orders and invoices for the tests of documents, which need no server."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from contracts.money import Money
from contracts.order import Address, Order, OrderHistoryEntry, OrderItem, OrderStatus, TaxLine, TaxReason
from infra.foundation.ids import new_id
from services.order.domain.invoices import InvoiceDraft, InvoiceParty, InvoiceRecord, InvoiceTerms, draft_invoice
from services.order.domain.sums import AppliedRate, ComputedTax, LinePrice, ShippingPrice, percent_discount, sum_order

ADA = Address(name="Ada Lovelace", line1="12 St James Street", city="London", postal_code="SW1Y 4JH", country="GB")
FULL = AppliedRate("VAT", 190_000, TaxReason.STANDARD)
LOW = AppliedRate("VAT, reduced", 70_000, TaxReason.REDUCED)
ISSUED_AT = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
BASKET = (LinePrice(1999, 2, (FULL,)), LinePrice(333, 3, (LOW,)))


def invoice_terms(**changes: Any) -> InvoiceTerms:
    """The terms of a shop in Berlin."""
    seller = InvoiceParty(
        name="Souk Lamps GmbH", lines=["Torstraße 1", "10119 Berlin"], country="DE", vat_id="DE136695976"
    )
    fields = {"series": "INV", "credit_note_series": "CN", "language": "en", "time_zone": ZoneInfo("Europe/Berlin")}
    return InvoiceTerms(seller=seller, **{**fields, **changes})


def priced_order(
    lines: tuple[LinePrice, ...] = BASKET,
    *,
    percent: int = 10,
    shipping: int = 490,
    names: tuple[str, ...] = ("Brass lamp", "Linen shade"),
    **changes: Any,
) -> Order:
    """An order in euros whose prices include the tax: the worked example, unless other lines are given."""
    discount = percent_discount(lines, percent)
    sums = sum_order(lines, tax_included=True, order_discount=discount, shipping=ShippingPrice(shipping))
    items = [
        OrderItem(
            sku=f"SKU-{at}",
            product_id=new_id(),
            name=names[at % len(names)],
            options={"size": "M"},
            quantity=line.quantity,
            unit_price=_euros(line.unit_price),
            line_total=_euros(summed.line_total),
            discount=_euros(summed.discount),
            tax_lines=[_tax_line(one) for one in summed.tax_lines],
            shipping_tax_lines=[_tax_line(one) for one in summed.shipping_tax_lines],
        )
        for at, (line, summed) in enumerate(zip(lines, sums.lines, strict=True))
    ]
    fields: dict[str, Any] = {
        "id": new_id(),
        "number": "S-6180339966",
        "user_id": new_id(),
        "status": OrderStatus.PAID,
        "items": items,
        "subtotal": _euros(sums.subtotal),
        "discount": _euros(sums.discount),
        "shipping": _euros(sums.shipping),
        "tax": _euros(sums.tax),
        "tax_included": True,
        "tax_lines": _by_rate(items),
        "total": _euros(sums.total),
        "shipping_address": ADA,
        "history": [OrderHistoryEntry(status=OrderStatus.PENDING, at=ISSUED_AT)],
        "created_at": ISSUED_AT,
        "updated_at": ISSUED_AT,
    }
    return Order(**{**fields, **changes})


def numbered(draft: InvoiceDraft, number: int = 1) -> InvoiceRecord:
    """The invoice as it is stored."""
    return InvoiceRecord(
        draft.series, draft.year, number, draft.order_id, draft.position, draft.issued_at, draft.document, None
    )


def sample_invoice(order: Order | None = None, **terms: Any) -> InvoiceRecord:
    """The invoice of an order: of the worked example, unless another one is given."""
    return numbered(draft_invoice(order or priced_order(), invoice_terms(**terms), ISSUED_AT), 42)


def _euros(amount: int) -> Money:
    return Money(amount=amount, currency="EUR")


def _tax_line(tax: ComputedTax) -> TaxLine:
    return TaxLine(
        name=tax.rate.name,
        rate_ppm=tax.rate.rate_ppm,
        base=_euros(tax.base),
        amount=_euros(tax.amount),
        reason=tax.rate.reason,
    )


def _by_rate(items: list[OrderItem]) -> list[TaxLine]:
    """The sum of each rate on goods and shipping."""
    found: dict[str, TaxLine] = {}
    for line in (one for item in items for one in (*item.tax_lines, *item.shipping_tax_lines)):
        before = found.get(line.name)
        base, amount = (before.base.amount, before.amount.amount) if before else (0, 0)
        sums = {"base": _euros(base + line.base.amount), "amount": _euros(amount + line.amount.amount)}
        found[line.name] = line.model_copy(update=sums)
    return list(found.values())
