"""Checks of invoices against other stores: refunds in payment, and the PDF files in the object store.

The digest of a file is that of its metadata, by which the order service checks the content whenever it is read.
"""

from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any

import orjson
from nats.aio.msg import Msg

from infra.database.checks import Check, FactTable, RepairAction, RepairBy, Row
from infra.messaging.topology import INVOICES

FILE_STREAM = f"OBJ_{INVOICES}"
FILE_SUBJECTS = f"$O.{INVOICES}.M.>"
"""The metadata of the files."""
FILE_FACTS = FactTable("invoice_file", ("name", "sha256"), indexes=("name",))
DIGEST_PREFIX = "SHA-256="

INVOICE_CHECKS = (
    Check(
        4,
        "refund_without_credit_note",
        "A refund of an invoiced order has no credit note, or one of another amount.",
        """
        SELECT r.refund_id, o.order_id, r.payment_id,
               r.amount || ' refunded, credit note ' || coalesce(n.total, 'missing') AS detail
        FROM refund AS r JOIN orders AS o ON o.payment_id = r.payment_id
        JOIN payment AS p ON p.payment_id = r.payment_id
        JOIN invoice AS i ON i.order_id = o.order_id AND i.position = 0
        LEFT JOIN invoice AS n ON n.refund_id = r.refund_id
        WHERE r.status = 'done' AND n.total IS NOT r.amount
            AND (SELECT count(*) FROM consumed AS e WHERE e.service = 'order' AND e.aggregate_id = p.payment_id
                 AND e.name = 'refunded') >= p.refunds
        """,
        RepairAction(RepairBy.REPUBLISH, "payment", "payment_id"),
    ),
    Check(
        4,
        "credit_note_without_refund",
        "A credit note belongs to no refund that was made.",
        """
        SELECT n.refund_id, n.order_id, 'the refund is ' || coalesce(r.status, 'missing') AS detail
        FROM invoice AS n LEFT JOIN refund AS r ON r.refund_id = n.refund_id
        WHERE n.refund_id IS NOT NULL AND coalesce(r.status, '') <> 'done'
        """,
    ),
    Check(
        5,
        "invoice_file_differs",
        "The PDF of an invoice is missing, or is not the one that was made.",
        """
        SELECT i.number AS invoice, i.order_id,
               CASE WHEN f.name IS NULL THEN 'missing' ELSE 'another content' END AS detail
        FROM invoice AS i LEFT JOIN invoice_file AS f ON f.name = i.number || '/' || i.sha256
        WHERE i.sha256 IS NOT NULL AND f.sha256 IS NOT i.sha256
        """,
    ),
)


def file_row(message: Msg, _stream: str) -> Row:
    """The name and the digest of a file, as its metadata report them; a deleted file has no digest."""
    metadata: Mapping[str, Any] = orjson.loads(message.data)
    digest = "" if metadata.get("deleted") else str(metadata.get("digest") or "")
    return str(metadata.get("name")), urlsafe_b64decode(digest.removeprefix(DIGEST_PREFIX)).hex()
