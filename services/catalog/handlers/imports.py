"""Product files, as administrators send them."""

import asyncio

from contracts.catalog import ProductImport, ProductImportRef, ProductImportStatus, StartProductImport
from contracts.failure import FieldError, InvalidRequest, NotFound, PayloadTooLarge
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id
from infra.messaging.rpc import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.shopify import rows
from services.catalog.store import imports

MAX_UPLOAD_BYTES = 50 * 1024 * 1024


async def start_import(shop: CatalogDeps, ask: Request[StartProductImport]) -> Reply[ProductImport]:
    content = await read_upload(shop, ask.body.upload, MAX_UPLOAD_BYTES)
    await asyncio.to_thread(rows.check_csv, content)
    job_id = new_id()
    async with shop.db.transaction(ask) as tx:
        await imports.insert(tx.connection, job_id, ask.user.user_id, content)
        job = await imports.get(tx.connection, job_id)
        assert job is not None, "the transaction has written it"
        assert job.status is ProductImportStatus.QUEUED, "nobody else has seen it"
        tx.on_commit(shop.import_worker.wake)
        tx.on_commit(lambda: failpoint("catalog.import_queued"))
        return tx.reply(job)


async def get_import(shop: CatalogDeps, ask: Request[ProductImportRef]) -> ProductImport:
    async with shop.db.connection() as connection:
        job = await imports.get(connection, ask.body.id)
    if job is None:
        raise NotFound
    return job


async def read_upload(shop: CatalogDeps, name: str, max_bytes: int) -> bytes:
    """A file that the edge has put into the object store."""
    size = await shop.uploads.size(name)
    if size is not None and size > max_bytes:
        raise PayloadTooLarge
    content = await shop.uploads.get(name)
    if content is None:
        raise InvalidRequest(errors=[FieldError(pointer="/upload", detail="there is no such upload")])
    return content
