"""The PDF of an invoice: the same bytes each time, in any script, and never with a letter missing."""

from pathlib import Path

import pytest

from services.order.domain.invoices import InvoiceRecord
from services.order.domain.sums import LinePrice
from services.order.invoice_pdf.labels import LABELS
from services.order.invoice_pdf.pages import InvoiceDrawing, draw_invoice
from services.order.invoice_pdf.pdf_writer import PdfWriter, UnprintableText
from services.order.invoice_pdf.renderer import InvoiceRenderer
from tests.services.order.sample_invoices import ADA, FULL, priced_order, sample_invoice


@pytest.fixture(scope="module")
def writer() -> PdfWriter:
    written = PdfWriter(LABELS["en"], "Invoice")
    written.add_page()
    return written


def addressed_to(name: str) -> InvoiceRecord:
    return sample_invoice(priced_order(shipping_address=ADA.model_copy(update={"name": name})))


def test_the_same_invoice_has_the_same_bytes_at_any_time() -> None:
    invoice = addressed_to("نور الدين").to_printed()
    drawn = draw_invoice(invoice)
    assert b"(D:20261130120000Z)" in drawn, "the time of issue, not that of the drawing"
    assert draw_invoice(invoice) == drawn


def test_a_long_order_continues_on_further_pages() -> None:
    order = priced_order((LinePrice(1999, 1, (FULL,)),) * 14, names=("A lamp with quite a long name " * 3,))
    drawing = InvoiceDrawing(sample_invoice(order, language="de").to_printed())
    drawing.draw()
    assert drawing._pdf.pages_count == 2


@pytest.mark.parametrize(
    "text",
    [
        "Zoë Strauß",
        "Łódź",
        "Ελένη",
        "Наталья",
        "ნინო",
        "שרה",
        "محمد",
        "สมชาย",
        "नीता",
        "Nguyễn Thị",
        "山田太郎",
        "김민준",
        "王小明",
    ],
)
def test_every_letter_of_a_name_is_kept(writer: PdfWriter, text: str) -> None:
    assert writer.printable(text) == text


def test_symbols_without_a_glyph_are_left_out(writer: PdfWriter) -> None:
    assert writer.printable("Gift box 🎁\ufe0f for two ☕") == "Gift box  for two"


def test_a_name_that_no_font_can_show_is_refused(writer: PdfWriter) -> None:
    """Empty boxes on an invoice would be a wrong name, kept for ever."""
    with pytest.raises(UnprintableText, match="CHEROKEE LETTER TSA"):
        writer.printable("ᏣᎳᎩ")


async def test_the_process_that_draws_has_no_setting_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUK_GIFT_CARD_SECRET", "correct horse")
    renderer = InvoiceRenderer()
    try:
        assert (await renderer.render(addressed_to("Ada").to_printed())).startswith(b"%PDF")
        assert renderer._child is not None
        environment = Path(f"/proc/{renderer._child.pid}/environ").read_bytes()
        assert b"PATH=" in environment
        assert b"SOUK_" not in environment
    finally:
        renderer._end_child()
