"""Product files, as administrators send them."""

import asyncio

from contracts.catalog import ImportJob, ImportOf, ImportStatus, StartImport
from contracts.failure import FieldError, Invalid, NotFound, PayloadTooLarge
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import new_id
from infra.messaging.rpc import Answer, Ask
from services.catalog.deps import Shop
from services.catalog.domain.shopify import rows
from services.catalog.store import imports

LARGEST = 50 * 1024 * 1024


async def start_import(shop: Shop, ask: Ask[StartImport]) -> Answer[ImportJob]:
    content = await uploaded(shop, ask.body.upload, LARGEST)
    await asyncio.to_thread(rows.check, content)
    job_id = new_id()
    async with shop.db.transaction(ask) as tx:
        await imports.insert(tx.connection, job_id, ask.who.user_id, content)
        job = await imports.get(tx.connection, job_id)
        assert job is not None, "the transaction has written it"
        assert job.status is ImportStatus.QUEUED, "nobody else has seen it"
        tx.afterwards(shop.importer.wake)
        tx.afterwards(lambda: crash_point("catalog.import_queued"))
        return tx.answer(job)


async def get_import(shop: Shop, ask: Ask[ImportOf]) -> ImportJob:
    async with shop.db.connection() as connection:
        job = await imports.get(connection, ask.body.id)
    if job is None:
        raise NotFound
    return job


async def uploaded(shop: Shop, name: str, largest: int) -> bytes:
    """A file that the edge has put into the object store."""
    size = await shop.uploads.size(name)
    if size is not None and size > largest:
        raise PayloadTooLarge
    content = await shop.uploads.get(name)
    if content is None:
        raise Invalid(errors=[FieldError(pointer="/upload", detail="there is no such upload")])
    return content
