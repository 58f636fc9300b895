"""Exports orders as a CSV file, one page in each reply."""

from contracts.order import ExportOrders, OrderFile
from contracts.size_limits import MAX_PAGE_BYTES
from infra.foundation.pagination import decode_id_cursor, encode_cursor
from infra.messaging.rpc_client import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain.exported_order_rows import header_line, join_fitting, order_line
from services.order.handlers.order_filters import build_filter, find_email
from services.order.store import order_exports as store

PAGE_ORDERS = 500
CONTENT_TYPE = "text/csv; charset=utf-8"


async def export_orders(deps: OrderDeps, request: Request[ExportOrders]) -> Reply[OrderFile]:
    """Reads orders, the newest first, so that one which is placed meanwhile is on no page."""
    body, identity = request.body, request.user
    after = decode_id_cursor(body.page_start)
    email = await find_email(deps, body, identity)
    async with deps.db.connection() as connection:
        order_filter = await build_filter(connection, body, identity, email=email, after=after)
        rows = await store.list_page(connection, order_filter, PAGE_ORDERS + 1) if order_filter is not None else []
    header = header_line() if after is None else b""
    content, count = join_fitting([order_line(row) for row in rows[:PAGE_ORDERS]], MAX_PAGE_BYTES - len(header))
    following = encode_cursor(str(rows[count - 1]["id"])) if len(rows) > count else None
    return Reply(header + content, content_type=CONTENT_TYPE, next=following)
