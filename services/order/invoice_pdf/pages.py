"""Draws an invoice or a credit note: parties and facts, the table of lines, the tax summary and the total."""

from collections.abc import Sequence

from contracts.order import InvoiceKind
from services.order.domain.invoices import InvoiceLine, InvoiceLineKind, InvoiceParty, InvoiceTax, PrintedInvoice
from services.order.invoice_pdf.labels import LABELS
from services.order.invoice_pdf.pdf_writer import GREY, MARGIN, PdfWriter
from services.order.invoice_pdf.value_formats import InvoiceFormats

NO_RATE, MINUS = "\u2013", "\u2212"
COLUMN_GAP = 2.0
COLUMN_WIDTHS = (60.0, 12.0, 22.0, 19.0, 21.0, 18.0, 22.0)
"""Of description, quantity, unit price, rate, net, tax and gross, in millimetres."""
FACT_WIDTH, PARTY_WIDTH = 80.0, 84.0
TOTALS_WIDTH = 84.0
LINE_HEIGHT, SMALL_LINE_HEIGHT, ROW_PADDING = 4.4, 3.8, 1.6
TAX_COLUMN_WIDTHS = (72.0, 34.0, 34.0, 34.0)


def draw_invoice(invoice: PrintedInvoice) -> bytes:
    """Returns the PDF. Raises `UnprintableText` for a text that no font can show."""
    drawing = InvoiceDrawing(invoice)
    drawing.draw()
    return drawing.to_pdf()


class InvoiceDrawing:
    """The pages of one invoice, drawn from top to bottom."""

    def __init__(self, invoice: PrintedInvoice) -> None:
        self._invoice = invoice
        self._document = invoice.document
        self._labels = LABELS[invoice.document.language]
        self._formats = InvoiceFormats(invoice.document)
        self._is_credit_note = invoice.kind is InvoiceKind.CREDIT_NOTE
        self._title = self._labels.credit_note if self._is_credit_note else self._labels.invoice
        self._pdf = PdfWriter(self._labels, f"{self._title} {invoice.number}")
        self._y = 0.0

    def to_pdf(self) -> bytes:
        """Returns the finished file."""
        return self._pdf.finish()

    def draw(self) -> None:
        """Draws everything."""
        pdf = self._pdf
        pdf.set_creation_date(self._invoice.issued_at)
        pdf.set_title(f"{self._title} {self._invoice.number}")
        pdf.set_author(self._document.seller.name)
        pdf.set_lang(self._document.language)
        pdf.add_page()
        self._draw_head()
        self._draw_table_head()
        for line in self._document.lines:
            self._draw_line(line)
        self._draw_totals()
        self._draw_taxes(self._document.taxes)
        self._draw_notes()

    # The first page's head.

    def _draw_head(self) -> None:
        pdf, seller = self._pdf, self._document.seller
        pdf.use_font(20, bold=True)
        pdf.fitted_cell(pdf.w - MARGIN - FACT_WIDTH, MARGIN, FACT_WIDTH, 9, self._title)
        top = max(self._draw_party(MARGIN, seller, name_size=13.0), MARGIN + 20) + 8
        pdf.use_font(8, color=GREY)
        pdf.paragraph(MARGIN, top, PARTY_WIDTH, SMALL_LINE_HEIGHT, self._labels.bill_to)
        left = self._draw_party(top + 5, self._document.buyer, name_size=10.0)
        right = self._draw_facts(top)
        self._y = max(left, right) + 8
        if self._document.corrects is not None:
            self._draw_reference()

    def _draw_party(self, y: float, party: InvoiceParty, *, name_size: float) -> float:
        """Draws a name and an address; returns where they end."""
        pdf = self._pdf
        pdf.use_font(name_size, bold=True)
        y = pdf.paragraph(MARGIN, y, PARTY_WIDTH, name_size * 0.48, party.name)
        pdf.use_font(9)
        country = self._formats.country(party.country) if party.country else ""
        vat_id = f"{self._labels.vat_id}: {party.vat_id}" if party.vat_id else ""
        for text in (*party.lines, country, vat_id):
            y = pdf.paragraph(MARGIN, y, PARTY_WIDTH, LINE_HEIGHT, text)
        return y

    def _draw_facts(self, y: float) -> float:
        pdf, labels, x = self._pdf, self._labels, self._pdf.w - MARGIN - FACT_WIDTH
        number = labels.credit_note_number if self._is_credit_note else labels.invoice_number
        facts = (
            (number, self._invoice.number),
            (labels.date, self._formats.date(self._invoice.issued_at)),
            (labels.order_number, self._document.order_number),
            (labels.order_date, self._formats.date(self._document.ordered_at)),
        )
        for label, value in facts:
            pdf.use_font(9, color=GREY)
            pdf.fitted_cell(x, y, FACT_WIDTH / 2, LINE_HEIGHT + 0.6, label, align="L")
            pdf.use_font(9, bold=label == number)
            pdf.fitted_cell(x + FACT_WIDTH / 2, y, FACT_WIDTH / 2, LINE_HEIGHT + 0.6, value)
            y += LINE_HEIGHT + 0.6
        return y

    def _draw_reference(self) -> None:
        corrects = self._document.corrects
        assert corrects is not None, "only a credit note has a reference"
        self._pdf.use_font(9)
        text = self._labels.corrects.format(number=corrects.number, date=self._formats.date(corrects.issued_at))
        self._y = self._pdf.paragraph(MARGIN, self._y, self._pdf.epw, LINE_HEIGHT, text) + 5

    # The table of lines.

    def _draw_table_head(self) -> None:
        labels = self._labels
        titles = (
            *(labels.description, labels.quantity, labels.unit_price, labels.rate),
            *(labels.net, labels.tax, labels.gross),
        )
        self._pdf.use_font(8, bold=True, color=GREY)
        self._draw_cells(titles, COLUMN_WIDTHS, LINE_HEIGHT)
        self._y += LINE_HEIGHT + 1
        self._pdf.rule(self._y)
        self._y += ROW_PADDING

    def _draw_cells(self, texts: Sequence[str], widths: Sequence[float], height: float) -> None:
        """Draws one row: the first column to the left, the others, which hold numbers, to the right."""
        x = MARGIN
        for at, (text, width) in enumerate(zip(texts, widths, strict=True)):
            gap = COLUMN_GAP if at else 0.0
            self._pdf.fitted_cell(x + gap, self._y, width - gap, height, text, align="R" if at else "L")
            x += width

    def _draw_line(self, line: InvoiceLine) -> None:
        pdf = self._pdf
        name, details = self._name_of(line), self._details_of(line)
        pdf.use_font(9)
        lines = pdf.count_lines(COLUMN_WIDTHS[0], name)
        self._make_room(lines * LINE_HEIGHT + len(details) * SMALL_LINE_HEIGHT, continues_table=True)
        pdf.use_font(9)
        self._draw_cells(("", *self._numbers_of(line)), COLUMN_WIDTHS, LINE_HEIGHT)
        self._y = pdf.paragraph(MARGIN, self._y, COLUMN_WIDTHS[0], LINE_HEIGHT, name)
        pdf.use_font(7.5, color=GREY)
        for text in details:
            pdf.fitted_cell(MARGIN, self._y, COLUMN_WIDTHS[0], SMALL_LINE_HEIGHT, text, align="L")
            self._y += SMALL_LINE_HEIGHT
        self._y += ROW_PADDING
        pdf.rule(self._y)
        self._y += ROW_PADDING

    def _numbers_of(self, line: InvoiceLine) -> tuple[str, ...]:
        formats = self._formats
        rates = " + ".join(formats.rate(rate) for rate in line.rates_ppm) or NO_RATE
        return (
            *(str(line.quantity), formats.amount(line.unit_price), rates),
            *(formats.amount(line.net), formats.amount(line.tax), formats.amount(line.gross)),
        )

    def _name_of(self, line: InvoiceLine) -> str:
        by_kind = {InvoiceLineKind.SHIPPING: self._labels.shipping, InvoiceLineKind.REFUND: self._labels.refund}
        return by_kind.get(line.kind) or self._pdf.printable(line.name) or line.sku

    def _details_of(self, line: InvoiceLine) -> list[str]:
        discount = f"{self._labels.discount} {MINUS}{self._formats.amount(line.discount)}" if line.discount else ""
        return [text for text in (line.sku, discount) if text]

    def _make_room(self, height: float, *, continues_table: bool = False) -> None:
        """Begins a page where the current one has too little room left."""
        if self._y + height <= self._pdf.lowest:
            return
        self._pdf.add_page()
        self._y = MARGIN
        if continues_table:
            self._draw_table_head()

    # Below the table.

    def _draw_totals(self) -> None:
        document, labels, pdf = self._document, self._labels, self._pdf
        self._make_room(3 * LINE_HEIGHT + 16)
        self._y += 2
        x = pdf.w - MARGIN - TOTALS_WIDTH
        for label, amount in ((labels.total_net, document.net), (labels.total_tax, document.tax)):
            pdf.use_font(9, color=GREY)
            pdf.fitted_cell(x, self._y, TOTALS_WIDTH / 2, LINE_HEIGHT, label, align="L")
            pdf.use_font(9)
            pdf.fitted_cell(x + TOTALS_WIDTH / 2, self._y, TOTALS_WIDTH / 2, LINE_HEIGHT, self._formats.money(amount))
            self._y += LINE_HEIGHT + 0.6
        label = labels.total_credited if self._is_credit_note else labels.total
        pdf.use_font(12, bold=True)
        pdf.fitted_cell(x, self._y + 1, TOTALS_WIDTH / 2, 7, label, align="L")
        total = self._formats.money(document.total)
        pdf.fitted_cell(x + TOTALS_WIDTH / 2, self._y + 1, TOTALS_WIDTH / 2, 7, total)
        self._y += 14

    def _draw_taxes(self, taxes: Sequence[InvoiceTax]) -> None:
        if not taxes:
            return
        labels, pdf, formats = self._labels, self._pdf, self._formats
        reasons = [labels.zero_rates[tax.reason] for tax in taxes if tax.reason in labels.zero_rates]
        self._make_room((len(taxes) + 2) * (LINE_HEIGHT + 1) + len(reasons) * LINE_HEIGHT)
        pdf.use_font(8, bold=True, color=GREY)
        self._draw_cells((labels.tax_summary, labels.rate, labels.tax_base, labels.tax), TAX_COLUMN_WIDTHS, LINE_HEIGHT)
        self._y += LINE_HEIGHT + 1
        pdf.rule(self._y)
        self._y += ROW_PADDING
        for tax in taxes:
            pdf.use_font(9)
            values = (formats.rate(tax.rate_ppm), formats.amount(tax.base), formats.amount(tax.amount))
            self._draw_cells((tax.name, *values), TAX_COLUMN_WIDTHS, LINE_HEIGHT)
            self._y += LINE_HEIGHT + 0.6
            if tax.reason in labels.zero_rates:
                pdf.use_font(8, color=GREY)
                self._y = pdf.paragraph(MARGIN, self._y, pdf.epw, LINE_HEIGHT, labels.zero_rates[tax.reason])
        self._y += 5

    def _draw_notes(self) -> None:
        labels, document = self._labels, self._document
        paid = (
            labels.credited
            if self._is_credit_note
            else labels.paid.format(date=self._formats.date(self._invoice.issued_at))
        )
        prices = labels.tax_included if document.tax_included else labels.tax_excluded
        notes = [paid, labels.amounts_in.format(currency=document.currency), *([prices] if document.taxes else [])]
        self._make_room(len(notes) * LINE_HEIGHT)
        self._pdf.use_font(8.5, color=GREY)
        for note in notes:
            self._y = self._pdf.paragraph(MARGIN, self._y, self._pdf.epw, LINE_HEIGHT, note)
