"""Pictures: stored at a few widths, without anything but their pixels."""

import io
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from PIL import Image as Pillow

from contracts import catalog
from contracts.catalog import Product, ProductImage, UnreadableImage
from contracts.failure import NotFound, PayloadTooLarge, Unavailable
from infra.foundation.ids import new_id
from infra.messaging import connection as messaging
from infra.ops.devstack.stack import Stack
from services.catalog.content import image_processing as pictures
from services.catalog.store.object_files import IMAGES, ObjectBucket
from tests.services.catalog.conftest import CatalogClient, ImportFiles

Make = Callable[..., Awaitable[Product]]


def picture(width: int = 900, height: int = 600, kind: str = "JPEG", mode: str = "RGB", **how: Any) -> bytes:
    target = io.BytesIO()
    Pillow.new(mode, (width, height), "orange").save(target, kind, **how)
    return target.getvalue()


def opened(content: bytes) -> Pillow.Image:
    return Pillow.open(io.BytesIO(content))


async def add(
    shelf: CatalogClient, files: ImportFiles, product: Product, content: bytes, alt: str = "A lamp"
) -> ProductImage:
    body = {"id": str(product.id), "upload": await files.upload(content), "alt": alt}
    image: ProductImage = await shelf.as_admin(catalog.ADD_IMAGE, body)
    return image


async def get(shelf: CatalogClient, image: ProductImage, width: int) -> Pillow.Image:
    content, header = await shelf.edge.raw(catalog.GET_IMAGE, {"image_id": str(image.id), "width": width})
    assert header["Content-Type"] == "image/webp"
    return opened(content)


async def test_a_picture_is_served_at_the_next_width(
    shelf: CatalogClient, files: ImportFiles, new_product: Make
) -> None:
    product = await new_product()
    image = await add(shelf, files, product, picture())
    assert image.url == f"/images/{image.id}/1024.webp"
    for asked, served in ((16, 160), (160, 160), (161, 320), (640, 640), (641, 900), (2048, 900)):
        found = await get(shelf, image, asked)
        assert (found.format, found.width) == ("WEBP", served)
    second = await add(shelf, files, product, picture(kind="PNG", mode="RGBA"), alt="Another")
    after = await shelf.edge(catalog.GET_PRODUCT, {"key": str(product.id)})
    assert after.images == [image, second]
    assert after.updated_at > product.updated_at


async def test_what_is_not_a_picture_is_refused(shelf: CatalogClient, files: ImportFiles, new_product: Make) -> None:
    product = await new_product()
    broken = picture()[:200]
    for content in (b"", b"GIF89a", picture(kind="GIF", mode="P"), picture(kind="BMP"), broken, b"<svg/>"):
        with pytest.raises(UnreadableImage):
            await add(shelf, files, product, content)
    with pytest.raises(PayloadTooLarge):
        await add(shelf, files, product, picture() + bytes(10 * 1024 * 1024))
    assert (await shelf.edge(catalog.GET_PRODUCT, {"key": str(product.id)})).images == []


async def test_pictures_are_of_products_that_are_there(shelf: CatalogClient, files: ImportFiles) -> None:
    body = {"id": str(new_id()), "upload": await files.upload(picture())}
    with pytest.raises(NotFound):
        await shelf.as_admin(catalog.ADD_IMAGE, body)
    with pytest.raises(NotFound):
        await shelf.edge.raw(catalog.GET_IMAGE, {"image_id": str(new_id()), "width": 160})


def test_a_bomb_is_not_opened() -> None:
    with pytest.raises(UnreadableImage):
        pictures.render_widths(picture(20_000, 20_000, "PNG", "1"))
    with pytest.raises(UnreadableImage):
        pictures.render_widths(picture(8_000, 8_000, "PNG", "1"))
    with pytest.raises(UnreadableImage):
        pictures.render_widths(picture(40, 40_000, "PNG", "1"))


def test_pictures_are_upright_and_say_nothing_else() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turned a quarter
    exif[0x010E] = "where I live"
    rendered = pictures.render_widths(picture(400, 200, exif=exif))
    assert list(rendered) == [160, 200]
    found = opened(rendered[200])
    assert found.size == (200, 400)
    assert not found.getexif()
    assert b"where I live" not in rendered[200]


def test_what_is_seen_through_stays_so() -> None:
    target = io.BytesIO()
    Pillow.new("RGBA", (200, 100), (255, 0, 0, 99)).save(target, "PNG")
    found = opened(pictures.render_widths(target.getvalue())[200])
    assert found.mode == "RGBA"


def test_the_busiest_picture_fits_into_a_message() -> None:
    noise = Pillow.effect_noise((2048, 2048), 200).convert("RGB")
    target = io.BytesIO()
    noise.save(target, "JPEG", quality=95)
    rendered = pictures.render_widths(target.getvalue())
    assert list(rendered)[:3] == [160, 320, 640]
    assert max(map(len, rendered.values())) <= pictures.MAX_IMAGE_BYTES


async def test_without_the_object_store_nothing_is_read_or_kept(stack: Stack) -> None:
    async with messaging.connect(stack.nats_url, "catalog", stack.password("catalog")) as client:
        images = ObjectBucket(client, IMAGES)
    for attempt in (images.get("0"), images.size("0"), images.put("0", b"0")):
        with pytest.raises(Unavailable):
            await attempt
