"""The process that draws invoices: `python -m services.order.invoice_pdf.render_process`, a child of the service.

It reads requests from its standard input and writes answers to its standard output, until the input closes.
"""

import gc
import os
import signal
import sys
from typing import BinaryIO

from services.order.domain.invoices import PrintedInvoice
from services.order.invoice_pdf.child_process_messages import FAILED, LENGTH, MAX_ERROR_BYTES
from services.order.invoice_pdf.pages import draw_invoice

NICENESS = 5
"""Requests of customers come first; who waits for a PDF does not wait for an idle machine."""


def main() -> None:
    """Serves one request after the other."""
    gc.freeze()  # what the imports have made stays
    gc.enable()
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the service too, which ends this process
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while (request := _read_frame(requests)) is not None:
        answers.write(_answer(request))
        answers.flush()


def _read_frame(source: BinaryIO) -> bytes | None:
    """The next request; None once the service has closed its end."""
    header = source.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    length = LENGTH.unpack(header)[0]
    body = source.read(length)
    return body if len(body) == length else None


def _answer(request: bytes) -> bytes:
    try:
        pdf = draw_invoice(PrintedInvoice.model_validate_json(request))
    except Exception as error:  # noqa: BLE001 - after any error the next invoice is drawn
        reason = f"{type(error).__name__}: {error}".encode(errors="replace")[:MAX_ERROR_BYTES]
        reason = reason.decode(errors="ignore").encode()
        return LENGTH.pack(FAILED) + LENGTH.pack(len(reason)) + reason
    return LENGTH.pack(len(pdf)) + pdf


if __name__ == "__main__":
    main()
