"""Visible text: whether a text shows anything at all."""

import unicodedata
from typing import Final

_BLANKS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that are drawn as nothing: the Hangul fillers and the Braille blank."""


def is_visible(text: str) -> bool:
    """Returns whether any character of the text can be seen.

    Spaces, control and format characters (such as the zero-width space) cannot, nor can marks without a letter.
    """
    return any(unicodedata.category(one)[0] not in "ZM" and _is_drawn(one) for one in text)


def _is_drawn(character: str) -> bool:
    return character not in _BLANKS and unicodedata.category(character) not in ("Cc", "Cf", "Cs")
