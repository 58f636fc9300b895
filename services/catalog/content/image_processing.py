"""Turns an uploaded image into WebP files at a few widths.

The image is checked before it is decoded, turned upright and encoded again, so that only its pixels remain.
"""

import io
import warnings
from collections.abc import Mapping

from PIL import Image, ImageOps

from contracts.catalog import UnreadableImage

WIDTHS = (160, 320, 640, 1024, 2048)
"""Pixels."""
FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 50_000_000
MAX_IMAGE_BYTES = 900_000
"""Of one WebP file; a NATS message holds at most a million bytes."""
QUALITIES = (82, 65, 45, 25)
"""WebP qualities, tried in this order until the file is small enough."""


def target_widths(full_width: int) -> list[int]:
    """The widths to store, in pixels: none wider than the image itself."""
    widest = min(full_width, WIDTHS[-1])
    return [*(width for width in WIDTHS if width < widest), widest]


def render_widths(content: bytes) -> Mapping[int, bytes]:
    """The image as WebP, by width; a width at which it stays too large is left out. Slow: call it in a thread."""
    image = _decode(content)
    by_width = {width: _encode(image, width) for width in target_widths(image.width)}
    rendered = {width: webp for width, webp in by_width.items() if webp is not None}
    if not rendered:
        raise UnreadableImage(f"The image stays above {MAX_IMAGE_BYTES} bytes at every width. Upload a simpler one.")
    return rendered


def _decode(content: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(content), formats=FORMATS)
            if opened.width * opened.height > MAX_PIXELS:
                raise UnreadableImage(f"The image has more than {MAX_PIXELS} pixels. Upload a smaller one.")
            upright = ImageOps.exif_transpose(opened)
            return upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage from error


def _encode(image: Image.Image, width: int) -> bytes | None:
    height = max(1, round(image.height * width / image.width))
    resized = image if width == image.width else image.resize((width, height), Image.Resampling.LANCZOS)
    for quality in QUALITIES:
        target = io.BytesIO()
        try:
            resized.save(target, "WEBP", quality=quality, method=4)
        except (OSError, ValueError) as error:  # WebP allows at most 16,383 pixels a side
            raise UnreadableImage("The image is too tall for its width. Upload one that is less narrow.") from error
        if target.tell() <= MAX_IMAGE_BYTES:
            return target.getvalue()
    return None
