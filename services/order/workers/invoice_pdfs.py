"""Makes the PDF files of invoices, after the transaction that issued them.

An invoice without a PDF is one that was issued a moment ago, or whose PDF could not be made yet: it is tried again,
after a delay that doubles. The file is stored before its hash is written into the row, under a name that contains the
hash. The first hash counts for ever, so it does not matter when a process dies in between or two make the same PDF.
"""

import asyncio
import hashlib
import time
from dataclasses import replace
from functools import partial

from infra.foundation.background import PeriodicTask
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import get_logger
from infra.messaging.object_files import CorruptObjectError
from services.order.deps import OrderDeps
from services.order.domain.invoices import InvoiceRecord
from services.order.invoice_pdf.renderer import RenderFailed
from services.order.store import invoices as store

INTERVAL_SECONDS = 2.0
BATCH_SIZE = 20
LEASE_SECONDS = 120.0
"""How long a batch is left to the process that has taken it."""
PAUSE_FACTOR, MAX_PAUSE_SECONDS = 9.0, 5.0
"""After each PDF the worker rests nine times as long as it took, so that it never needs more than a tenth of a core.
A PDF that is asked for before is made at once.
"""
RETRY_SECONDS, MAX_RETRY_SECONDS = 10.0, 3600.0

log = get_logger("souk.order")


def task(deps: OrderDeps) -> PeriodicTask:
    """Returns the background task, which looks every two seconds."""
    return PeriodicTask("invoice PDFs", partial(make_due, deps), interval_seconds=INTERVAL_SECONDS)


async def make_due(deps: OrderDeps) -> bool:
    """Makes the PDFs of a batch of invoices. Returns whether there may be more."""
    async with deps.db.connection() as connection:
        due = await store.lease_unrendered(connection, BATCH_SIZE, LEASE_SECONDS)
    for invoice in due:
        started = time.monotonic()
        await make(deps, invoice)
        await asyncio.sleep(min(PAUSE_FACTOR * (time.monotonic() - started), MAX_PAUSE_SECONDS))
    return len(due) == BATCH_SIZE


async def make(deps: OrderDeps, invoice: InvoiceRecord) -> InvoiceRecord | None:
    """Makes and stores the PDF, and returns the invoice with its hash; None if it cannot be made now."""
    try:
        content = await deps.invoice_renderer.render(invoice.to_printed())
    except RenderFailed as error:
        log.error("invoice without a PDF: %s", error, invoice=invoice.full_number)  # noqa: TRY400 - its text says all
        async with deps.db.connection() as connection:
            await store.postpone_pdf(connection, invoice, str(error), RETRY_SECONDS, MAX_RETRY_SECONDS)
        return None
    sha256 = hashlib.sha256(content).digest()
    await deps.invoice_files.put(replace(invoice, pdf_sha256=sha256).object_name, content)
    failpoint("order.invoice_stored")
    async with deps.db.connection() as connection:
        first = await store.set_pdf(connection, invoice, sha256)
    failpoint("order.invoice_rendered")
    return replace(invoice, pdf_sha256=first)


async def read(deps: OrderDeps, invoice: InvoiceRecord) -> bytes:
    """Returns the PDF of an invoice that has one. Raises `CorruptObjectError` when it is not the one that was made."""
    content = await deps.invoice_files.get(invoice.object_name)
    if content is None or hashlib.sha256(content).digest() != invoice.pdf_sha256:
        raise CorruptObjectError(invoice.object_name)
    return content
