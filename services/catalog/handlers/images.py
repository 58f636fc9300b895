"""Pictures, added by administrators and served to everybody."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from contracts.catalog import AddProductImage, GetProductImage, ProductImage, ProductImageFile
from contracts.failure import NotFound
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id, now
from infra.messaging.rpc import Reply, Request
from services.catalog.content import image_processing as pictures
from services.catalog.deps import CatalogDeps
from services.catalog.domain.product_changes import ProductChange
from services.catalog.domain.product_records import ImageRecord
from services.catalog.handlers import product_writer as saving
from services.catalog.handlers.imports import read_upload
from services.catalog.handlers.product_writer import FieldPointers
from services.catalog.store import images, products
from services.catalog.store import product_documents as documents
from services.catalog.store.stock import StockChangeSource

MAX_UPLOAD_BYTES = 10 * 1024 * 1024


async def add_image(shop: CatalogDeps, ask: Request[AddProductImage]) -> Reply[ProductImage]:
    """The pixels are stored first: a picture that a product names can always be served."""
    body = ask.body
    async with shop.db.connection() as connection:
        if await documents.read_product(connection, body.id) is None:
            raise NotFound
    content = await read_upload(shop, body.upload, MAX_UPLOAD_BYTES)
    rendered = await asyncio.to_thread(pictures.render_widths, content)
    image = ImageRecord(new_id(), body.alt)
    await _store(shop, image.id, rendered)
    failpoint("catalog.image_stored")
    async with shop.db.transaction(ask) as tx:
        before = await products.lock(tx.connection, body.id)
        if before is None:
            raise NotFound
        await images.insert(tx.connection, image.id, before.id, image.alt, list(rendered))
        after = replace(before, images=(*before.images, image), version=before.version + 1, updated_at=now())
        await saving.update_product(
            shop,
            tx,
            before,
            ProductChange(after, {}),
            StockChangeSource("a picture", ask.user.user_id),
            FieldPointers(),
        )
        tx.on_commit(lambda: failpoint("catalog.image_written"))
        return tx.reply(image.to_contract())


async def get_image(shop: CatalogDeps, ask: Request[GetProductImage]) -> Reply[ProductImageFile]:
    """At the smallest width kept that is wide enough, else at the widest."""
    body = ask.body
    async with shop.db.connection() as connection:
        kept = await images.find_widths(connection, body.image_id)
    if kept is None:
        raise NotFound
    width = min((width for width in kept if width >= body.width), default=max(kept))
    found = await shop.images.get(_name(body.image_id, width))
    if found is None:
        raise NotFound
    return Reply(found, content_type="image/webp")


async def _store(shop: CatalogDeps, image_id: UUID, rendered: Mapping[int, bytes]) -> None:
    for width, content in rendered.items():
        await shop.images.put(_name(image_id, width), content)
        failpoint("catalog.width_stored")


def _name(image_id: UUID, width: int) -> str:
    return f"{image_id}/{width}"
