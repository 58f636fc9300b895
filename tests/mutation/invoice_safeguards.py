"""What keeps invoices right, removed one at a time by `make safeguards ARGS="--only invoice"`."""

from tests.mutation.safeguard import Safeguard

INVOICES = "tests/services/order/test_invoices.py"
DOMAIN = "tests/services/order/test_invoice_domain.py"
PDF = "tests/services/order/test_invoice_pdf.py"
ORDER = "services/order"

INVOICE_SAFEGUARDS = (
    Safeguard(
        "invoice: each transaction counts from the numbers that it has seen",
        f"{ORDER}/store/invoices.py",
        "last_number = counter.last_number + excluded.last_number",
        "last_number = excluded.last_number",
        (f"{INVOICES}::test_orders_paid_at_the_same_moment_have_consecutive_numbers_also_when_some_fail",),
    ),
    Safeguard(
        "invoice: a higher number may have an earlier time",
        f"{ORDER}/store/invoices.py",
        "greatest(counter.last_issued_at, excluded.last_issued_at)",
        "excluded.last_issued_at",
        (f"{INVOICES}::test_a_higher_number_never_has_an_earlier_time",),
    ),
    Safeguard(
        "invoice: a later PDF takes the place of the first",
        f"{ORDER}/store/invoices.py",
        "coalesce(pdf_sha256, $4)",
        "$4",
        (f"{INVOICES}::test_the_first_pdf_of_an_invoice_counts",),
    ),
    Safeguard(
        "invoice: two processes draw the same PDF",
        f"{ORDER}/store/invoices.py",
        "WHERE pdf_sha256 IS NULL AND render_at <= now() ORDER BY render_at",
        "WHERE pdf_sha256 IS NULL ORDER BY render_at",
        (f"{INVOICES}::test_an_invoice_without_a_pdf_is_left_to_one_process",),
    ),
    Safeguard(
        "invoice: a stranger reads it",
        f"{ORDER}/handlers/invoices.py",
        "require_access(await queries.find(connection, order_id), caller).order",
        "(await queries.find(connection, order_id)).order",
        (f"{INVOICES}::test_a_paid_order_has_an_invoice_whose_bytes_never_change",),
    ),
    Safeguard(
        "invoice: a partial refund has no credit note",
        f"{ORDER}/handlers/events.py",
        "if record.order.payment_id is not None:",
        "if record.order.payment_id is not None and event.full:",
        (f"{INVOICES}::test_each_refund_has_one_credit_note_and_together_they_are_the_invoice",),
    ),
    Safeguard(
        "invoice: credit notes share the tax of the whole invoice each time",
        f"{ORDER}/domain/credit_notes.py",
        "return max(whole - sum(parts), 0)",
        "return whole",
        (f"{DOMAIN}::test_credit_notes_give_back_exactly_the_tax_of_the_invoice",),
    ),
    Safeguard(
        "invoice: a letter without a glyph is left out",
        f"{ORDER}/invoice_pdf/pdf_writer.py",
        "            raise UnprintableText(message)",
        "            return False",
        (f"{PDF}::test_a_name_that_no_font_can_show_is_refused",),
    ),
    Safeguard(
        "invoice: its PDF depends on the moment at which it is made",
        f"{ORDER}/invoice_pdf/pages.py",
        "        pdf.set_creation_date(self._invoice.issued_at)",
        "        pass",
        (f"{PDF}::test_the_same_invoice_has_the_same_bytes_at_any_time",),
    ),
)
