"""Reads products and list pages for many concurrent requests in one go."""

from collections.abc import Collection
from uuid import UUID

from contracts.catalog import ListProducts
from infra.database.postgres import Connection, Database
from infra.foundation.pagination import count_fitting
from services.catalog.domain.search import effective_sort
from services.catalog.store import list_cursor, product_queries
from services.catalog.store.product_documents import ProductDocument, ProductDocumentCache


async def load_products(
    db: Database, documents: ProductDocumentCache, keys: Collection[str]
) -> dict[str, ProductDocument]:
    """Products by key; each key is an id or a slug."""
    ids = [product_id for key in keys if (product_id := parse_id(key))]
    async with db.connection() as connection:
        return await documents.find(connection, ids, list(keys))


async def load_pages(
    db: Database, documents: ProductDocumentCache, requests: Collection[ListProducts]
) -> dict[ListProducts, bytes]:
    """The JSON members `items` and `next` of each page; equal requests share one page."""
    async with db.connection() as connection:
        return {request: await _load_page(connection, documents, request) for request in requests}


def parse_id(key: str) -> UUID | None:
    """The key as a product id; None when it can only be a slug."""
    try:
        return UUID(key)
    except ValueError:
        return None


async def _load_page(connection: Connection, documents: ProductDocumentCache, request: ListProducts) -> bytes:
    sort = effective_sort(request)
    after = list_cursor.decode(sort, request.after) if request.after else None
    if after is not None and after[0] == list_cursor.UNNAMED:
        after = (await product_queries.find_name(connection, after[-1]), after[-1])
    rows = await product_queries.list_page(connection, request, sort, after)
    items = [item.encode() for item in await documents.render(connection, rows[: request.limit])]
    del items[count_fitting(map(len, items)) :]
    cursor = b"null"
    if len(rows) > len(items):
        cursor = b'"%b"' % list_cursor.encode(sort, product_queries.page_key(rows[len(items) - 1], sort)).encode()
    return b'"items":[%b],"next":%b' % (b",".join(items), cursor)
