"""Exports products as a product file, one page in each reply."""

import asyncio
from uuid import UUID

from contracts.catalog import ExportProducts, ProductFile
from infra.foundation.pagination import decode_cursor, encode_cursor
from infra.messaging.rpc_client import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.shopify.export_pages import FilePosition, write_page
from services.catalog.store import product_exports, unknown_columns

PAGE_PRODUCTS = 100
FIRST_ID = UUID(int=0)
CONTENT_TYPE = "text/csv; charset=utf-8"


async def export_products(deps: CatalogDeps, request: Request[ExportProducts]) -> Reply[ProductFile]:
    """Reads products in the order of their ids, so that one which is created meanwhile is on a later page."""
    body = request.body
    start = decode_position(body.page_start) if body.page_start else None
    async with deps.db.list_connection() as connection:
        first = start.product_id if start else FIRST_ID
        columns = await unknown_columns.list_columns(connection)
        products = await product_exports.list_page(connection, first, PAGE_PRODUCTS + 1)
    next_id = products[PAGE_PRODUCTS].product.id if len(products) > PAGE_PRODUCTS else None
    args = (products[:PAGE_PRODUCTS], start, next_id, body.dialect, deps.shop_facts(), columns)
    page = await asyncio.to_thread(write_page, *args)
    return Reply(page.content, content_type=CONTENT_TYPE, next=encode_position(page.next) if page.next else None)


def encode_position(position: FilePosition) -> str:
    """The position as a cursor."""
    return encode_cursor(position.product_id, position.rows_done, position.version, position.kept_columns)


def decode_position(cursor: str) -> FilePosition:
    """Raises `InvalidCursor` for a cursor that `encode_position` has not made."""
    return FilePosition(*decode_cursor(cursor, UUID, int, int, int))
