"""The documentation page: its colours can be read, its fields have labels, and one token serves every form."""

import re
from itertools import product

import pytest

from edge.openapi.docs_site import WEB_DIR

STYLE, SCRIPT, PAGE = ((WEB_DIR / name).read_text() for name in ("docs.css", "docs.js", "docs.html"))
TEXTS = ("ink", "quiet", "accent", "get", "post", "put", "patch", "delete")
BACKGROUNDS = ("paper", "card", "code")
MIN_CONTRAST = 4.5
"""Between text and its background, by the Web Content Accessibility Guidelines (level AA)."""


def colours(name: str) -> tuple[str, str]:
    """Returns a colour of the page by its name, for light and for dark."""
    (found,) = re.findall(rf"--{name}: light-dark\((#\w+), (#\w+)\)", STYLE)
    light, dark = found
    return light, dark


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(("text", "background"), list(product(TEXTS, BACKGROUNDS)))
def test_text_can_be_read_on_its_background(text: str, background: str) -> None:
    for ink, paper in zip(colours(text), colours(background), strict=True):
        assert contrast(ink, paper) >= MIN_CONTRAST, (ink, paper)


def test_every_field_has_a_label() -> None:
    for field in re.findall(r"<input[^>]*>", PAGE):
        assert "aria-label=" in field or re.search(rf"<label>[^<]*{re.escape(field)}", PAGE), field
    assert SCRIPT.count('el("textarea"') == SCRIPT.count('ariaLabel: "Request body"')


def test_a_form_reads_the_token_when_it_sends() -> None:
    """A form that was open before signing in must neither send an old token nor erase the new one."""
    sending = SCRIPT[SCRIPT.index("const send =") : SCRIPT.index('return [el("h3", {}, "Try it")')]
    assert "credentials.token.value" in sending
    assert "sessionStorage" not in sending


def test_menu_and_page_find_an_operation_by_the_same_words() -> None:
    assert SCRIPT.count('"data-words": wordsOf(') == 2


def test_files_are_chosen_in_a_file_field() -> None:
    assert '"multipart/form-data"' in SCRIPT
    assert SCRIPT.count('type: "file"') + SCRIPT.count('"file" : "text"') >= 2
