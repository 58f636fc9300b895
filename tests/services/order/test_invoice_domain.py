"""What invoices and credit notes say: lines, taxes and totals that add up to the cent."""

from datetime import UTC, datetime
from typing import get_args
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from infra.foundation.ids import new_id
from services.order.domain.credit_notes import InvoicedRefund, draft_credit_note
from services.order.domain.invoices import InvoiceDocument, InvoiceDraft, InvoiceLineKind, InvoiceRecord, draft_invoice
from services.order.domain.sums import LinePrice
from services.order.invoice_pdf.labels import LABELS
from services.order.settings import OrderSettings
from tests.services.order.sample_invoices import (
    ADA,
    FULL,
    ISSUED_AT,
    LOW,
    invoice_terms,
    priced_order,
    sample_invoice,
)


def credit_note(invoice: InvoiceRecord, earlier: list[InvoiceDocument], amount: int) -> InvoiceDraft:
    refund = InvoicedRefund(invoice.order_id, new_id(), amount, "CN")
    return draft_credit_note(invoice, earlier, refund, ISSUED_AT)


def test_an_invoice_states_the_amounts_of_its_order() -> None:
    document = sample_invoice().document
    first, second, shipping = document.lines
    assert (first.unit_price, first.quantity, first.discount) == (1999, 2, 400)
    assert (first.net, first.tax, first.gross, first.rates_ppm) == (3598 - 574, 574, 3598, [190_000])
    assert (second.net, second.tax, second.gross) == (899 - 59, 59, 899)
    assert (shipping.kind, shipping.gross, shipping.tax) == (InvoiceLineKind.SHIPPING, 490, 69)
    assert shipping.rates_ppm == [190_000, 70_000]
    assert (document.total, document.tax, document.net) == (4987, 702, 4285)
    assert [(tax.name, tax.amount) for tax in document.taxes] == [("VAT", 637), ("VAT, reduced", 65)]


def test_who_is_billed_is_named_with_the_company() -> None:
    company = ADA.model_copy(update={"company": "Analytical Engines Ltd", "vat_id": "GB123456789"})
    buyer = sample_invoice(priced_order(billing_address=company)).document.buyer
    assert (buyer.name, buyer.lines[0], buyer.vat_id) == ("Ada Lovelace", "Analytical Engines Ltd", "GB123456789")
    assert sample_invoice().document.buyer.lines == ["12 St James Street", "SW1Y 4JH London"]


def test_the_year_of_a_number_begins_in_the_time_zone_of_the_shop() -> None:
    midnight = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    assert draft_invoice(priced_order(), invoice_terms(), midnight).year == 2027
    assert draft_invoice(priced_order(), invoice_terms(time_zone=ZoneInfo("UTC")), midnight).year == 2026


def test_a_whole_refund_repeats_the_lines_and_names_the_invoice() -> None:
    invoice = sample_invoice()
    draft = credit_note(invoice, [], invoice.document.total)
    assert (draft.position, draft.document.lines, draft.document.tax) == (1, invoice.document.lines, 702)
    assert draft.document.corrects is not None
    assert draft.document.corrects.number == "INV-2026-000042"


@given(
    st.lists(st.tuples(st.integers(1, 5_000), st.integers(1, 4), st.booleans()), min_size=1, max_size=4),
    st.lists(st.integers(1, 4_000), max_size=6),
)
def test_credit_notes_give_back_exactly_the_tax_of_the_invoice(
    lines: list[tuple[int, int, bool]], amounts: list[int]
) -> None:
    """Whatever parts an order is refunded in; and no part has more tax than money."""
    order = priced_order(tuple(LinePrice(price, units, (FULL if full else LOW,)) for price, units, full in lines))
    invoice, notes = sample_invoice(order), list[InvoiceDocument]()
    left = invoice.document.total
    for amount in (*amounts, left):
        part = min(amount, left)
        if part:
            notes.append(credit_note(invoice, notes, part).document)
            left -= part
    assert all(0 <= note.tax <= note.total for note in notes)
    assert all(min(tax.amount for tax in note.taxes) >= 0 for note in notes)
    assert sum(note.total for note in notes) == invoice.document.total
    assert sum(note.tax for note in notes) == invoice.document.tax
    for at, tax in enumerate(invoice.document.taxes):
        assert sum(note.taxes[at].amount for note in notes) == tax.amount


def test_every_language_of_the_setting_has_its_words() -> None:
    assert set(get_args(OrderSettings.model_fields["invoice_language"].annotation)) == LABELS.keys()
