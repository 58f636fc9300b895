"""Starts product imports and reports on them."""

import asyncio

from contracts.catalog import ProductImport, ProductImportRef, ProductImportStatus, StartProductImport
from contracts.failure import NotFound
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.product_file_formats import detect_format
from services.catalog.handlers.uploaded_file_reader import MAX_CSV_UPLOAD_BYTES, read_upload
from services.catalog.store import imports


async def start_import(deps: CatalogDeps, request: Request[StartProductImport]) -> Reply[ProductImport]:
    """Checks that the upload is a product CSV, and queues its import."""
    content = await read_upload(deps, request.body.upload, MAX_CSV_UPLOAD_BYTES)
    await asyncio.to_thread(detect_format, content)
    import_id = new_id()
    async with deps.db.transaction(request) as tx:
        await imports.insert(tx.connection, import_id, request.user.user_id, content, dry_run=request.body.dry_run)
        job = await imports.get(tx.connection, import_id)
        assert job is not None, "the transaction has written it"
        assert job.status is ProductImportStatus.QUEUED, "no other transaction sees it yet"
        tx.on_commit(deps.import_worker.wake)
        tx.on_commit(lambda: failpoint("catalog.import_queued"))
        return tx.reply(job)


async def get_import(deps: CatalogDeps, request: Request[ProductImportRef]) -> ProductImport:
    """Reads the progress, the warnings and the errors of an import."""
    async with deps.db.connection() as connection:
        job = await imports.get(connection, request.body.id)
    if job is None:
        raise NotFound
    return job
