"""Images are stored at a few widths, with nothing but their pixels."""

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
from infra.messaging.object_files import ObjectFiles
from infra.messaging.topology import IMAGES
from infra.ops.devstack.stack import Stack
from services.catalog.content import image_processing
from tests.services.catalog.conftest import CatalogClient, ImportFiles
from tests.support.rpc import RpcCaller

Make = Callable[..., Awaitable[Product]]


def image_file(width: int = 900, height: int = 600, kind: str = "JPEG", mode: str = "RGB", **options: Any) -> bytes:
    target = io.BytesIO()
    Pillow.new(mode, (width, height), "orange").save(target, kind, **options)
    return target.getvalue()


def open_image(content: bytes) -> Pillow.Image:
    return Pillow.open(io.BytesIO(content))


async def add(
    client: CatalogClient, files: ImportFiles, product: Product, content: bytes, alt: str = "A lamp"
) -> ProductImage:
    body = {"id": str(product.id), "upload": await files.upload(content), "alt": alt}
    image: ProductImage = await client.as_admin(catalog.ADD_IMAGE, body)
    return image


async def get(client: CatalogClient, image: ProductImage, width: int) -> Pillow.Image:
    content, header = await client.edge.raw(catalog.GET_IMAGE, {"image_id": str(image.id), "width": width})
    assert header["Content-Type"] == "image/webp"
    return open_image(content)


async def test_serves_an_image_at_the_next_stored_width(
    client: CatalogClient, files: ImportFiles, new_product: Make
) -> None:
    product = await new_product()
    image = await add(client, files, product, image_file())
    assert image.url == f"/images/{image.id}/1024.webp"
    for requested, served in ((16, 160), (160, 160), (161, 320), (640, 640), (641, 900), (2048, 900)):
        found = await get(client, image, requested)
        assert (found.format, found.width) == ("WEBP", served)
    second = await add(client, files, product, image_file(kind="PNG", mode="RGBA"), alt="Another")
    after = await client.edge(catalog.GET_PRODUCT, {"key": str(product.id)})
    assert after.images == [image, second]
    assert after.updated_at > product.updated_at


async def test_an_image_gets_another_text_and_place(
    client: CatalogClient, files: ImportFiles, new_product: Make
) -> None:
    product = await new_product()
    images = [await add(client, files, product, image_file(), alt) for alt in ("front", "back", "side")]

    async def change(image: ProductImage, **fields: Any) -> list[str]:
        body = {"id": str(product.id), "image_id": str(image.id), **fields}
        changed = await client.as_admin(catalog.CHANGE_IMAGE, body)
        assert (changed.id, changed.url) == (image.id, image.url)
        found = await client.edge(catalog.GET_PRODUCT, {"key": str(product.id)})
        return [image.alt for image in found.images]

    assert await change(images[2], position=1) == ["side", "front", "back"]
    assert await change(images[0], alt="front, lit") == ["side", "front, lit", "back"]
    assert await change(images[2], alt="from the left", position=1000) == ["front, lit", "back", "from the left"]
    assert await change(images[1]) == ["front, lit", "back", "from the left"]
    added = await add(client, files, product, image_file(), "box")
    after = await client.edge(catalog.GET_PRODUCT, {"key": str(product.id)})
    assert after.images[-1] == added


async def test_a_deleted_image_and_its_files_are_gone(
    client: CatalogClient, files: ImportFiles, new_product: Make, as_service: Callable[[str], Awaitable[RpcCaller]]
) -> None:
    product, other = await new_product(), await new_product()
    first, second = [await add(client, files, product, image_file()) for _ in range(2)]
    stored = ObjectFiles((await as_service("catalog")).client, IMAGES)
    assert await stored.size(f"{first.id}/900")
    for product_id in (other.id, new_id()):
        with pytest.raises(NotFound):
            await client.as_admin(catalog.DELETE_IMAGE, {"id": str(product_id), "image_id": str(first.id)})
    await client.as_admin(catalog.DELETE_IMAGE, {"id": str(product.id), "image_id": str(first.id)})
    assert (await client.edge(catalog.GET_PRODUCT, {"key": str(product.id)})).images == [second]
    assert [await stored.size(f"{first.id}/{width}") for width in (160, 320, 640, 900)] == [None] * 4
    with pytest.raises(NotFound):
        await get(client, first, 160)
    with pytest.raises(NotFound):
        await client.as_admin(catalog.DELETE_IMAGE, {"id": str(product.id), "image_id": str(first.id)})
    assert (await get(client, second, 160)).width == 160


async def test_refuses_files_that_are_not_images(client: CatalogClient, files: ImportFiles, new_product: Make) -> None:
    product = await new_product()
    broken = image_file()[:200]
    for content in (b"", b"GIF89a", image_file(kind="GIF", mode="P"), image_file(kind="BMP"), broken, b"<svg/>"):
        with pytest.raises(UnreadableImage):
            await add(client, files, product, content)
    with pytest.raises(PayloadTooLarge):
        await add(client, files, product, image_file() + bytes(10 * 1024 * 1024))
    assert (await client.edge(catalog.GET_PRODUCT, {"key": str(product.id)})).images == []


async def test_refuses_an_unknown_product_or_image(client: CatalogClient, files: ImportFiles) -> None:
    body = {"id": str(new_id()), "upload": await files.upload(image_file())}
    with pytest.raises(NotFound):
        await client.as_admin(catalog.ADD_IMAGE, body)
    with pytest.raises(NotFound):
        await client.edge.raw(catalog.GET_IMAGE, {"image_id": str(new_id()), "width": 160})


def test_refuses_a_decompression_bomb() -> None:
    with pytest.raises(UnreadableImage):
        image_processing.render_widths(image_file(20_000, 20_000, "PNG", "1"))
    with pytest.raises(UnreadableImage):
        image_processing.render_widths(image_file(8_000, 8_000, "PNG", "1"))
    with pytest.raises(UnreadableImage):
        image_processing.render_widths(image_file(40, 40_000, "PNG", "1"))


def test_images_are_upright_and_without_metadata() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    exif[0x010E] = "where I live"
    rendered = image_processing.render_widths(image_file(400, 200, exif=exif))
    assert list(rendered) == [160, 200]
    found = open_image(rendered[200])
    assert found.size == (200, 400)
    assert not found.getexif()
    assert b"where I live" not in rendered[200]


def test_transparency_is_preserved() -> None:
    target = io.BytesIO()
    Pillow.new("RGBA", (200, 100), (255, 0, 0, 99)).save(target, "PNG")
    found = open_image(image_processing.render_widths(target.getvalue())[200])
    assert found.mode == "RGBA"


def test_a_noisy_image_fits_into_a_message() -> None:
    noise = Pillow.effect_noise((2048, 2048), 200).convert("RGB")
    target = io.BytesIO()
    noise.save(target, "JPEG", quality=95)
    rendered = image_processing.render_widths(target.getvalue())
    assert list(rendered)[:3] == [160, 320, 640]
    assert max(map(len, rendered.values())) <= image_processing.MAX_IMAGE_BYTES


async def test_is_unavailable_without_the_object_store(stack: Stack) -> None:
    async with messaging.connect(stack.nats_url, "catalog", stack.nats_password("catalog")) as nats:
        images = ObjectFiles(nats, IMAGES)
    for attempt in (images.get("0"), images.size("0"), images.put("0", b"0")):
        with pytest.raises(Unavailable):
            await attempt
