"""Adds images to products and serves them."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from contracts.catalog import (
    AddProductImage,
    ChangeProductImage,
    GetProductImage,
    ProductImage,
    ProductImageFile,
    ProductImageRef,
)
from contracts.failure import NotFound
from contracts.model import Empty
from infra.database.postgres import Transaction
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id, now
from infra.messaging.rpc_client import Reply, Request
from services.catalog import product_writer
from services.catalog.content.image_processing import render_widths
from services.catalog.deps import CatalogDeps
from services.catalog.domain.product_changes import ProductChange
from services.catalog.domain.product_records import ImageRecord, ProductRecord
from services.catalog.handlers.uploaded_file_reader import MAX_IMAGE_UPLOAD_BYTES, read_upload
from services.catalog.product_writer import FieldPointers
from services.catalog.store import images, product_documents, products
from services.catalog.store.stock import StockChangeSource


async def add_image(deps: CatalogDeps, request: Request[AddProductImage]) -> Reply[ProductImage]:
    """Adds an uploaded image to a product.

    The pixels are stored before the product names the image, so that every image of a product can be served.
    """
    body = request.body
    async with deps.db.connection() as connection:
        if await product_documents.read_product(connection, body.id) is None:
            raise NotFound
    content = await read_upload(deps, body.upload, MAX_IMAGE_UPLOAD_BYTES)
    rendered = await asyncio.to_thread(render_widths, content)
    image = ImageRecord(new_id(), body.alt)
    await _store_widths(deps, image.id, rendered)
    failpoint("catalog.image_stored")
    async with deps.db.transaction(request) as tx:
        before = await products.lock(tx.connection, body.id)
        if before is None:
            raise NotFound
        await images.insert(tx.connection, image.id, before.id, image.alt, list(rendered))
        await _write_images(deps, tx, request, before, (*before.images, image))
        tx.on_commit(lambda: failpoint("catalog.image_written"))
        return tx.reply(image.to_contract())


async def change_image(deps: CatalogDeps, request: Request[ChangeProductImage]) -> Reply[ProductImage]:
    """Changes the text of an image, or its place among the images of its product."""
    body = request.body
    async with deps.db.transaction(request) as tx:
        before, image = await _lock_image(tx, body.id, body.image_id)
        position = body.position or before.images.index(image) + 1
        changed = image if body.alt is None else replace(image, alt=body.alt)
        others = [other for other in before.images if other.id != image.id]
        ordered = (*others[: position - 1], changed, *others[position - 1 :])
        if ordered != before.images:
            await images.change(tx.connection, ordered)
            await _write_images(deps, tx, request, before, ordered)
        return tx.reply(changed.to_contract())


async def delete_image(deps: CatalogDeps, request: Request[ProductImageRef]) -> Reply[Empty]:
    """Deletes an image: first the product forgets it, and then its files go. They cannot be read in between."""
    body = request.body
    async with deps.db.transaction(request) as tx:
        before, image = await _lock_image(tx, body.id, body.image_id)
        widths = await images.delete(tx.connection, image.id)
        remaining = tuple(other for other in before.images if other.id != image.id)
        await _write_images(deps, tx, request, before, remaining)
        reply = tx.reply(Empty())
    failpoint("catalog.image_forgotten")
    for width in widths:
        await deps.images.delete(_object_name(image.id, width))
    return reply


async def get_image(deps: CatalogDeps, request: Request[GetProductImage]) -> Reply[ProductImageFile]:
    """Serves an image at the smallest stored width that is wide enough, else at the widest."""
    body = request.body
    async with deps.db.connection() as connection:
        widths = await images.find_widths(connection, body.image_id)
    if widths is None:
        raise NotFound
    width = min((width for width in widths if width >= body.width), default=max(widths))
    content = await deps.images.get(_object_name(body.image_id, width))
    if content is None:
        raise NotFound
    return Reply(content, content_type="image/webp")


async def _lock_image(tx: Transaction, product_id: UUID, image_id: UUID) -> tuple[ProductRecord, ImageRecord]:
    """The product, locked, and one of its images."""
    product = await products.lock(tx.connection, product_id)
    image = next((image for image in product.images if image.id == image_id), None) if product else None
    if product is None or image is None:
        raise NotFound
    return product, image


async def _write_images(
    deps: CatalogDeps, tx: Transaction, request: Request[Any], before: ProductRecord, changed: tuple[ImageRecord, ...]
) -> None:
    """Writes the locked product with other images."""
    after = replace(before, images=changed, version=before.version + 1, updated_at=now())
    source = StockChangeSource("the images were changed", request.user.user_id)
    await product_writer.update_product(
        tx, before, ProductChange(after, {}), source, FieldPointers(), currency=deps.currency
    )


async def _store_widths(deps: CatalogDeps, image_id: UUID, rendered: Mapping[int, bytes]) -> None:
    for width, content in rendered.items():
        await deps.images.put(_object_name(image_id, width), content)
        failpoint("catalog.width_stored")


def _object_name(image_id: UUID, width: int) -> str:
    return f"{image_id}/{width}"
