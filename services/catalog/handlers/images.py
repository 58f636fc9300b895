"""Pictures, added by administrators and served to everybody."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from contracts.catalog import AddImage, Image, ImageOf, Picture
from contracts.failure import NotFound
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import new_id, now
from infra.messaging.rpc import Answer, Ask
from services.catalog.content import image_processing as pictures
from services.catalog.deps import Shop
from services.catalog.domain.product_changes import Wanted
from services.catalog.domain.product_records import ArticleImage
from services.catalog.handlers import product_writer as saving
from services.catalog.handlers.imports import uploaded
from services.catalog.handlers.product_writer import Named
from services.catalog.store import images, products
from services.catalog.store import product_documents as documents
from services.catalog.store.stock import Author

LARGEST = 10 * 1024 * 1024


async def add_image(shop: Shop, ask: Ask[AddImage]) -> Answer[Image]:
    """The pixels are stored first: a picture that a product names can always be served."""
    body = ask.body
    async with shop.db.connection() as connection:
        if await documents.afresh(connection, body.id) is None:
            raise NotFound
    content = await uploaded(shop, body.upload, LARGEST)
    rendered = await asyncio.to_thread(pictures.rendered, content)
    image = ArticleImage(new_id(), body.alt)
    await _store(shop, image.id, rendered)
    crash_point("catalog.image_stored")
    async with shop.db.transaction(ask) as tx:
        before = await products.locked(tx.connection, body.id)
        if before is None:
            raise NotFound
        await images.insert(tx.connection, image.id, before.id, image.alt, list(rendered))
        after = replace(before, images=(*before.images, image), version=before.version + 1, updated_at=now())
        await saving.update(shop, tx, before, Wanted(after, {}), Author("a picture", ask.who.user_id), Named())
        tx.afterwards(lambda: crash_point("catalog.image_written"))
        return tx.answer(image.served())


async def get_image(shop: Shop, ask: Ask[ImageOf]) -> Answer[Picture]:
    """At the smallest width kept that is wide enough, else at the widest."""
    body = ask.body
    async with shop.db.connection() as connection:
        kept = await images.widths(connection, body.image_id)
    if kept is None:
        raise NotFound
    width = min((width for width in kept if width >= body.width), default=max(kept))
    found = await shop.images.get(_name(body.image_id, width))
    if found is None:
        raise NotFound
    return Answer(found, content_type="image/webp")


async def _store(shop: Shop, image_id: UUID, rendered: Mapping[int, bytes]) -> None:
    for width, content in rendered.items():
        await shop.images.put(_name(image_id, width), content)
        crash_point("catalog.width_stored")


def _name(image_id: UUID, width: int) -> str:
    return f"{image_id}/{width}"
