"""Has invoices drawn by a child process, one after the other.

Drawing is pure Python. In the process of the service, even in a thread, it would hold up the requests of customers. The
child has a lower priority, starts with the first invoice, and ends when its standard input closes: with the service,
however that ends.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

from services.order.domain.invoices import PrintedInvoice
from services.order.invoice_pdf.child_process_messages import FAILED, LENGTH, MAX_ERROR_BYTES

COMMAND = (sys.executable, "-m", "services.order.invoice_pdf.render_process")
TIMEOUT_SECONDS = 30.0
"""For one invoice, and the start of the child where it is not running yet."""


class RenderFailed(Exception):  # noqa: N818 - control flow: the invoice is tried again later
    """The PDF could not be made; the message says why."""


class InvoiceRenderer:
    """The child process, started when it is needed. It is a background task of the service, which ends the child."""

    name = "invoice renderer"

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._child: Process | None = None

    async def run(self) -> None:
        """Ends the child when the service stops."""
        try:
            await asyncio.Event().wait()
        finally:
            self._end_child()

    async def render(self, invoice: PrintedInvoice) -> bytes:
        """Returns the PDF. Raises `RenderFailed`."""
        async with self._lock:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    return await self._exchange(invoice.model_dump_json().encode())
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self._end_child()
                message = f"the renderer has ended or takes too long: {error!r}"
                raise RenderFailed(message) from error
            except asyncio.CancelledError:
                self._end_child()  # or its answer would be taken for that of the next invoice
                raise

    async def _exchange(self, request: bytes) -> bytes:
        child = self._child
        if child is None or child.returncode is not None:
            child = await self._start_child()
        assert child.stdin is not None
        assert child.stdout is not None, "both are pipes"
        child.stdin.write(LENGTH.pack(len(request)) + request)
        await child.stdin.drain()
        length = LENGTH.unpack(await child.stdout.readexactly(LENGTH.size))[0]
        if length != FAILED:
            return await child.stdout.readexactly(length)
        length = LENGTH.unpack(await child.stdout.readexactly(LENGTH.size))[0]
        raise RenderFailed((await child.stdout.readexactly(min(length, MAX_ERROR_BYTES))).decode())

    async def _start_child(self) -> Process:
        self._child = await asyncio.create_subprocess_exec(*COMMAND, stdin=PIPE, stdout=PIPE, env=_environment())
        return self._child

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            with suppress(ProcessLookupError):
                child.kill()


def _environment() -> dict[str, str]:
    """Returns the environment without the settings of the service, which hold secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SOUK_")}
