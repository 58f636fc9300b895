"""A PDF file with the fonts of invoices: FiraGO for Latin, Greek, Cyrillic, Arabic, Hebrew and other scripts, and Noto
Sans CJK for Chinese, Japanese and Korean.

The file depends on what is written to it alone, so the same invoice always has the same bytes.
"""

import unicodedata
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import TTFFont

from services.order.invoice_pdf.labels import InvoiceLabels

TEXT, CJK = "text", "cjk"
FONT_FOLDER = Path(__file__).parent / "font_files"
CJK_FONT = files("noto_cjk_sans_jp_regular") / "NotoSansCJKjp-Regular.otf"
MARGIN, FOOT_HEIGHT = 18.0, 22.0
"""Millimetres."""
INK, GREY, RULE = (33, 37, 41), (100, 108, 116), (205, 210, 215)
MIN_FONT_SIZE = 5.0
PAGE_COUNT = "\U0010fffd"
"""Stands for the number of pages until the file is written. No font has it, so it is in no text."""
_NARROW_SPACES = str.maketrans("\u2009\u202f", "\u00a0\u00a0")
_LAYOUT_TABLES = frozenset({"BASE", "GDEF", "GPOS", "GSUB", "JSTF", "vhea", "vmtx"})
_NEEDED_CATEGORIES = frozenset("LMN")
"""Letters, marks and digits."""


class UnprintableText(ValueError):  # noqa: N818 - its message is stored with the invoice
    """No font has a letter of the text."""


class PdfWriter(FPDF):
    """A file of A4 pages with a footer. Lengths are in millimetres."""

    def __init__(self, labels: InvoiceLabels, footer_text: str) -> None:
        super().__init__(format="A4")
        self._labels = labels
        self._footer_text = footer_text
        self.set_margins(MARGIN, MARGIN, MARGIN)
        self.set_auto_page_break(auto=False)
        self.alias_nb_pages(PAGE_COUNT)
        self.c_margin = 0.0
        self.add_font(TEXT, "", FONT_FOLDER / "FiraGO-Regular.ttf")
        self.add_font(TEXT, "B", FONT_FOLDER / "FiraGO-Bold.ttf")
        self.set_text_shaping(use_shaping_engine=True)

    @property
    def lowest(self) -> float:
        """Down to where a page is filled."""
        return float(self.h) - FOOT_HEIGHT

    def footer(self) -> None:
        """Writes the seller and the number of the page."""
        self.set_y(self.h - FOOT_HEIGHT + 8)
        self.use_font(7.5, color=GREY)
        half = self.epw / 2
        self.cell(half, 4, self._footer_text, new_x=XPos.RIGHT, new_y=YPos.TOP)
        page = self._labels.page.format(page=self.page_no(), pages=PAGE_COUNT)
        self.cell(half, 4, page, align="R")

    def finish(self) -> bytes:
        """Returns the finished file.

        The tables by which letters are joined have done their work. To read them once more, only to leave them out of
        the file, takes more than half of the time of an invoice.
        """
        for font in self.fonts.values():
            assert isinstance(font, TTFFont), "every font is a file"
            for table in _LAYOUT_TABLES & set(font.ttfont.keys()):
                del font.ttfont[table]
        return bytes(self.output())

    def use_font(self, size: float, *, bold: bool = False, color: tuple[int, int, int] = INK) -> None:
        """Sets how the next text looks; the size is in points."""
        self.set_font(TEXT, "B" if bold else "", size)
        self.set_text_color(*color)

    def printable(self, text: str) -> str:
        """Returns the text without what no font has, such as emoji.

        Raises `UnprintableText` when that is a letter or a digit: an invoice with a wrong name is worse than none.
        """
        shown = [one for one in unicodedata.normalize("NFC", text.translate(_NARROW_SPACES)) if self._has_glyph(one)]
        return "".join(shown).strip()

    def _has_glyph(self, character: str) -> bool:
        if ord(character) in self._glyphs_of(TEXT):
            return True
        category = unicodedata.category(character)
        if category[0] == "C" or _is_variation_selector(character):
            return False
        if CJK not in self.fonts:
            self._add_cjk_font()
        if ord(character) in self._glyphs_of(CJK):
            return True
        if category[0] in _NEEDED_CATEGORIES and category != "Me":
            message = f"No font has {unicodedata.name(character, hex(ord(character)))}."
            raise UnprintableText(message)
        return False

    def _glyphs_of(self, family: str) -> Mapping[int, str]:
        font = self.fonts[family]
        assert isinstance(font, TTFFont), "every font is a file"
        return font.cmap

    def _add_cjk_font(self) -> None:
        """Adds the large font where a text needs it. It has no bold style."""
        with as_file(CJK_FONT) as path:
            self.add_font(CJK, "", path)
        self.set_fallback_fonts([CJK], exact_match=False)

    def count_lines(self, width: float, text: str) -> int:
        """Returns into how many lines a text is broken in the current font."""
        lines = self.multi_cell(width, 1, self.printable(text), align="L", dry_run=True, output="LINES")
        assert isinstance(lines, list), "what `output` asks for"
        return len(lines)

    def paragraph(self, x: float, y: float, width: float, line_height: float, text: str) -> float:
        """Writes a text of any length and returns where it ends. An empty one takes no room."""
        shown = self.printable(text)
        if not shown:
            return y
        self.set_xy(x, y)
        self.multi_cell(width, line_height, shown, align="L", new_x=XPos.LEFT, new_y=YPos.NEXT)
        return float(self.get_y())

    def rule(self, y: float) -> None:
        """Draws a thin line from margin to margin."""
        self.set_draw_color(*RULE)
        self.set_line_width(0.2)
        self.line(self.l_margin, y, self.w - self.r_margin, y)

    def fitted_cell(self, x: float, y: float, width: float, height: float, text: str, *, align: str = "R") -> None:
        """Writes one line, smaller if it is too wide."""
        size, shown = self.font_size_pt, self.printable(text)
        while self.get_string_width(shown) > width and self.font_size_pt > MIN_FONT_SIZE:
            self.set_font_size(self.font_size_pt - 0.25)
        self.set_xy(x, y)
        self.cell(width, height, shown, align=align)
        self.set_font_size(size)


def _is_variation_selector(character: str) -> bool:
    """Whether the character only chooses between forms of the one before it."""
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
