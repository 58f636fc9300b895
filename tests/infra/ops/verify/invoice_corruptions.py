"""Corruptions of invoices and credit notes: their numbers, their amounts and their PDF files."""

from infra.messaging.topology import INVOICES
from tests.infra.ops.verify.corruption import Corruption
from tests.infra.ops.verify.shop_scene import SceneOrder, ShopScene

DELETE = "DELETE FROM invoice WHERE order_id = $1 AND position = $2 RETURNING series, year, number"
MOVE_LAST = """
UPDATE invoice SET number = $3, pdf_sha256 = NULL
WHERE series = $1 AND year = $2 AND number > $3
    AND number = (SELECT max(number) FROM invoice WHERE series = $1 AND year = $2)
"""
COUNT_DOWN = "UPDATE invoice_counter SET last_number = last_number - 1 WHERE series = $1 AND year = $2"
NUMBER = "SELECT series, year, number FROM invoice WHERE order_id = $1 AND position = 0"
SET_HASH = "UPDATE invoice SET pdf_sha256 = decode(repeat('{}', 32), 'hex') WHERE order_id = '{{order_id}}'"
CREDIT_NOTE = """
WITH counter AS (
    UPDATE invoice_counter SET last_number = last_number + 1 WHERE series = 'CN' RETURNING series, year, last_number
)
INSERT INTO invoice (series, year, number, order_id, position, refund_id, issued_at, currency, tax, total, document)
SELECT counter.series, counter.year, last_number, order_id, 1, '{more}', issued_at, currency, 0, 1, document
FROM invoice, counter WHERE order_id = '{order_id}'
"""


async def never_issue_invoice(scene: ShopScene, scene_order: SceneOrder) -> None:
    """The order became paid, as by a release that knows no invoices: no number was taken either."""
    await _never_issue(scene, scene_order, position=0)


async def never_issue_credit_note(scene: ShopScene, scene_order: SceneOrder) -> None:
    await _never_issue(scene, scene_order, position=1)


async def _never_issue(scene: ShopScene, scene_order: SceneOrder, *, position: int) -> None:
    database = scene.databases["order"]
    key = tuple(await database.fetchrow(DELETE, scene_order.order.id, position))
    await database.execute(MOVE_LAST, *key)
    await database.execute(COUNT_DOWN, *key[:2])


async def replace_pdf(scene: ShopScene, scene_order: SceneOrder) -> None:
    """Another file lies where the PDF should be."""
    series, year, number = await scene.databases["order"].fetchrow(NUMBER, scene_order.order.id)
    files = await scene.operator.jetstream().object_store(INVOICES)
    await files.put(f"{series}-{year}-{number:06d}/{'cd' * 32}", b"another file")


INVOICE_CORRUPTIONS = (
    Corruption(
        "an order was paid without an invoice",
        "paid",
        {"invoice_missing": ("order_id",)},
        action=never_issue_invoice,
        is_repairable=True,
    ),
    Corruption(
        "a refund has no credit note",
        "refunded",
        {"refund_without_credit_note": (".", "order_id", "payment_id")},
        action=never_issue_credit_note,
        is_repairable=True,
    ),
    Corruption(
        "a number was taken for no invoice",
        "paid",
        {"invoice_numbers_have_gap": ("INV", ".")},
        (("order", "UPDATE invoice_counter SET last_number = last_number + 1 WHERE series = 'INV'"),),
    ),
    Corruption(
        "an invoice has another amount than its order",
        "paid",
        {"invoice_disagrees": ("order_id",)},
        (("order", "UPDATE invoice SET total = total + 1 WHERE order_id = '{order_id}'"),),
    ),
    Corruption(
        "a credit note belongs to no refund",
        "paid",
        {"credit_note_without_refund": ("more", "order_id")},
        (("order", CREDIT_NOTE),),
    ),
    Corruption(
        "the PDF of an invoice is missing",
        "paid",
        {"invoice_file_differs": (".", "order_id")},
        (("order", SET_HASH.format("ab")),),
    ),
    Corruption(
        "the PDF of an invoice was replaced",
        "paid",
        {"invoice_file_differs": (".", "order_id")},
        (("order", SET_HASH.format("cd")),),
        replace_pdf,
    ),
    Corruption(
        "the PDF of an invoice cannot be made",
        "paid",
        {"invoice_not_rendered": ("order_id", "0")},
        (
            (
                "order",
                (
                    "UPDATE invoice SET pdf_sha256 = NULL, render_failures = 3, render_error = 'no font', "
                    "render_at = now() + interval '1 day' WHERE order_id = '{order_id}'"
                ),
            ),
        ),
    ),
)
