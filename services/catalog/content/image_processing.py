"""Pictures: read with care, turned upright, stripped of everything but pixels, and kept as WebP at a few widths."""

import io
import warnings
from collections.abc import Mapping

from PIL import Image, ImageOps

from contracts.catalog import UnreadableImage

WIDTHS = (160, 320, 640, 1024, 2048)
FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 50_000_000
MAX_IMAGE_BYTES = 900_000
"""Bytes of one picture; a NATS message holds no more than a million."""
QUALITIES = (82, 65, 45, 25)


def target_widths(full_width: int) -> list[int]:
    """The widths that a picture is kept at: never wider than it is."""
    widest = min(full_width, WIDTHS[-1])
    return [*(width for width in WIDTHS if width < widest), widest]


def render_widths(content: bytes) -> Mapping[int, bytes]:
    """The picture as WebP, by width, where it gets small enough. Takes its time: call it in a thread."""
    picture = _read(content)
    sized = {width: _webp(picture, width) for width in target_widths(picture.width)}
    found = {width: webp for width, webp in sized.items() if webp is not None}
    if not found:
        raise UnreadableImage("The picture does not get small enough")
    return found


def _read(content: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(content), formats=FORMATS)
            if opened.width * opened.height > MAX_PIXELS:
                raise UnreadableImage(f"The picture has more than {MAX_PIXELS} pixels")
            upright = ImageOps.exif_transpose(opened)
            return upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage from error


def _webp(picture: Image.Image, width: int) -> bytes | None:
    height = max(1, round(picture.height * width / picture.width))
    sized = picture if width == picture.width else picture.resize((width, height), Image.Resampling.LANCZOS)
    for quality in QUALITIES:
        target = io.BytesIO()
        try:
            sized.save(target, "WEBP", quality=quality, method=4)
        except (OSError, ValueError) as error:  # a side beyond what WebP can hold
            raise UnreadableImage("The picture is too tall for its width") from error
        if target.tell() <= MAX_IMAGE_BYTES:
            return target.getvalue()
    return None
