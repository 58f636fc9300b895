"""Draws the images of the demo catalog: patterns of stars and bands, as on old tiles.

An image depends only on its name and its palette, so it is always the same. A tile is drawn large, scaled down for
smooth edges and repeated; a large rosette in a frame covers the middle.
"""

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from PIL import Image, ImageDraw

IMAGE_SIZE = 1024
TILE_SIZE = 256
ROSETTE_SIZE = 640
SUPERSAMPLING = 3
"""The factor by which tiles are drawn larger than they are shown."""
JPEG_QUALITY = 88

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of an image: background, two main colours, an accent, and the bands between them."""

    ground: str
    first: str
    second: str
    accent: str
    strap: str


PALETTES: Mapping[str, Palette] = MappingProxyType(
    {
        "light": Palette("#2b2118", "#c8862b", "#7a3e1d", "#f7d488", "#f3e6c8"),
        "weaving": Palette("#5b1a18", "#a63d2f", "#1f3a4d", "#e0a458", "#f1e3cb"),
        "table": Palette("#0f3b57", "#2a7f9e", "#16536f", "#e8c468", "#f4f1e8"),
        "pantry": Palette("#3d3a1c", "#8a8b3d", "#b5532a", "#efc050", "#f6ecd2"),
        "bath": Palette("#24504a", "#5fa08c", "#34695f", "#f0d9a8", "#f3f4ea"),
        "desk": Palette("#2e2a45", "#6f5f94", "#463a66", "#e3a6a1", "#f2ebe3"),
    }
)


class _HashedChoice:
    """Picks options by the hash of a name."""

    def __init__(self, name: str) -> None:
        self._bytes = iter(hashlib.sha256(name.encode()).digest())

    def pick(self, options: Sequence[int]) -> int:
        """Returns one of the options, by the next byte of the hash."""
        return options[next(self._bytes) % len(options)]


def draw_image(name: str, palette: Palette) -> bytes:
    """Returns a square JPEG."""
    choice = _HashedChoice(name)
    canvas = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), palette.ground)
    tile = _tile(palette, choice)
    for left in range(0, IMAGE_SIZE, TILE_SIZE):
        for top in range(0, IMAGE_SIZE, TILE_SIZE):
            canvas.paste(tile, (left, top))
    rosette = _rosette(palette, choice)
    corner = (IMAGE_SIZE - ROSETTE_SIZE) // 2
    canvas.paste(rosette, (corner, corner), rosette)
    _frame(canvas, palette)
    written = io.BytesIO()
    canvas.save(written, "JPEG", quality=JPEG_QUALITY)
    return written.getvalue()


def _tile(palette: Palette, choice: _HashedChoice) -> Image.Image:
    """Draws a star in the middle and quarters of stars in the corners, so that tiles fit together."""
    side = TILE_SIZE * SUPERSAMPLING
    tile = Image.new("RGB", (side, side), palette.ground)
    draw = ImageDraw.Draw(tile)
    points, reach = choice.pick((8, 8, 12, 16)), choice.pick((42, 46, 50)) / 100
    inner = choice.pick((58, 66, 74)) / 100
    corners = [(x, y) for x in (0, side) for y in (0, side)]
    for centre in corners:
        _star(draw, centre, side * reach, points, inner, palette.second, palette.strap)
        _star(draw, centre, side * reach * 0.5, points, inner, palette.first, palette.strap)
    middle = (side / 2, side / 2)
    _star(draw, middle, side * reach, points, inner, palette.first, palette.strap)
    _star(draw, middle, side * reach * 0.62, points, inner, palette.second, palette.strap, turn=math.pi / points)
    _star(draw, middle, side * reach * 0.28, points, inner, palette.accent, palette.strap)
    return tile.resize((TILE_SIZE, TILE_SIZE), Image.Resampling.BOX)


def _rosette(palette: Palette, choice: _HashedChoice) -> Image.Image:
    """Draws rings of stars, each rotated against the next, on a disc with a transparent surrounding."""
    side = ROSETTE_SIZE * 2
    middle, radius = (side / 2, side / 2), side / 2 - 8
    drawn = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(drawn)
    _disc(draw, middle, radius, palette.strap)
    _disc(draw, middle, radius * 0.97, palette.ground)
    points, step = choice.pick((8, 10, 12, 14, 16)), choice.pick((74, 78, 82)) / 100
    inner = choice.pick((56, 64, 72, 80)) / 100
    colours = (palette.first, palette.second, palette.accent, palette.ground)
    first, reach = choice.pick(range(len(colours))), radius * 0.94
    _petals(draw, middle, reach, points, palette)
    for ring in range(choice.pick((5, 6, 7))):
        colour, turn = colours[(first + ring) % len(colours)], (ring % 2) * math.pi / points
        reach *= step
        _star(draw, middle, reach, points, inner, colour, palette.strap, turn=turn)
    _disc(draw, middle, reach * 0.4, palette.accent)
    return drawn.resize((ROSETTE_SIZE, ROSETTE_SIZE), Image.Resampling.BOX)


def _petals(draw: ImageDraw.ImageDraw, middle: Point, reach: float, points: int, palette: Palette) -> None:
    """Draws kites around the stars, with the tips outwards."""
    half = math.pi / points
    for number in range(points):
        angle = 2 * half * number
        kite = [
            _polar_point(middle, reach, angle),
            _polar_point(middle, reach * 0.86, angle + half * 0.8),
            _polar_point(middle, reach * 0.6, angle),
            _polar_point(middle, reach * 0.86, angle - half * 0.8),
        ]
        draw.polygon(kite, fill=palette.second if number % 2 else palette.first, outline=palette.strap, width=5)


def _star(
    draw: ImageDraw.ImageDraw,
    middle: Point,
    reach: float,
    points: int,
    inner: float,
    colour: str,
    strap: str,
    *,
    turn: float = 0.0,
) -> None:
    corners = [
        _polar_point(middle, reach * (inner if number % 2 else 1.0), turn + number * math.pi / points)
        for number in range(2 * points)
    ]
    draw.polygon(corners, fill=colour, outline=strap, width=6)


def _disc(draw: ImageDraw.ImageDraw, middle: Point, radius: float, colour: str) -> None:
    x, y = middle
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _frame(canvas: Image.Image, palette: Palette) -> None:
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, 0, IMAGE_SIZE - 1, IMAGE_SIZE - 1), outline=palette.ground, width=26)
    draw.rectangle((26, 26, IMAGE_SIZE - 27, IMAGE_SIZE - 27), outline=palette.accent, width=6)


def _polar_point(middle: Point, radius: float, angle: float) -> Point:
    """Returns the point at an angle from the top, clockwise."""
    return middle[0] + radius * math.sin(angle), middle[1] - radius * math.cos(angle)
