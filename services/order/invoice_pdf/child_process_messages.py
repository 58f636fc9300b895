"""What passes between the service and the process that draws invoices: lengths, each before so many bytes.

A request is the JSON of a `PrintedInvoice`. An answer is the PDF, or `FAILED` and then the reason as text.
"""

import struct

LENGTH = struct.Struct(">I")
"""The number of bytes that follow."""
FAILED = 0
"""Stands in place of the length of a PDF."""
MAX_ERROR_BYTES = 2000
