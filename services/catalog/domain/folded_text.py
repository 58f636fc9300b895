"""Text as it is searched and sorted. PostgreSQL is built without ICU and `unaccent`, so this is done here and stored.

A change of what these functions return needs a migration that sets `search_version` of all products to 0 and
`keyed_name` of all categories to '', so that the indexer makes their columns again.
"""

import re
import struct
import unicodedata
from collections.abc import Sequence
from functools import cache

from pyuca.collator import Collator_10_0_0 as Collator  # this one, not the newest, because its keys are stored

_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f"
    "\u00ad\u061c\u0640\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
"""Accents, vowel points and invisible characters. Marks that are letters, such as Devanagari vowels, stay."""
_LETTERS = str.maketrans(
    {
        **dict(zip("æœøłđðþħŧ\u0131", ("ae", "oe", "o", "l", "d", "d", "th", "h", "t", "i"), strict=True)),
        **dict.fromkeys("\u2018\u2019\u02bc\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011", "-"),
        **dict.fromkeys("\u2012\u2013\u2014\u2015\u2212", " "),
    }
)
"""Letters without a decomposition, and the quotes and dashes of word processors."""
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]+"
)
"""Runs of letters of languages that put no spaces between words, or whose words have many endings, as Korean."""
_UNSPACED_PUNCTUATION = re.compile("[\u3001-\u3003\u3008-\u3020\u30fb]")
_NUMBER = re.compile(r"\d+")
_MAX_WEIGHTS = 400
"""How many weights of each level a sort key holds: it must fit into an entry of an index, 2,700 bytes."""
_COMMON_WEIGHTS = (0, 0x20, 0x02)
"""The least weights of the three levels: letters without an accent, and in lower case. None for the first."""


def fold(text: str) -> str:
    """The text without accents, case, compatibility forms and repeated spaces: `Crème  Brûlée` and `creme brulee` are
    one, however their accents are encoded.
    """
    if not text.isascii():
        folded = _without_marks(_without_marks(text).casefold())
        text = unicodedata.normalize("NFC", folded.translate(_LETTERS))
    return " ".join(text.lower().split())


def search_text(text: str) -> str:
    """The folded text, with bigrams in place of letters of a language without spaces: `abc` would be `ab bc c`.

    So any two letters in a row are a word, and each single letter is the beginning of one.
    """
    folded = fold(text)
    return folded if folded.isascii() else _split_runs(folded, keep_last=True)


def query_text(text: str) -> str:
    """The text of a search in the form of `search_text`: without a last letter alone, unless that is the whole run."""
    folded = fold(text)
    return folded if folded.isascii() else _split_runs(folded, keep_last=False)


def _split_runs(text: str, *, keep_last: bool) -> str:
    def bigrams(match: re.Match[str]) -> str:
        run = match[0]
        parts = [run[place : place + 2] for place in range(len(run))]
        return f" {' '.join(parts if keep_last or len(run) == 1 else parts[:-1])} "

    return " ".join(_UNSPACED.sub(bigrams, _UNSPACED_PUNCTUATION.sub(" ", text)).split())


def _without_marks(text: str) -> str:
    """The text without accents. The breve of the Cyrillic short i stays: the letter has endings of its own."""
    decomposed = unicodedata.normalize("NFKD", text).replace("\u0438\u0306", "\u0439").replace("\u0418\u0306", "\u0419")
    return _MARKS.sub("", decomposed)


def tag_key(tag: str) -> str:
    """What tells tags apart: all but their case and encoding."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", tag).casefold())


def unique_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags without repetitions, each as it is written first."""
    first: dict[str, str] = {}
    for tag in tags:
        first.setdefault(tag_key(tag), tag)
    return tuple(first.values())


def name_key(name: str) -> bytes:
    """The key that sorts names by Unicode collation, with numbers by their value: `Shelf 9` before `Shelf 10`."""
    levels: list[list[int]] = [[]]
    for weight in _collator().sort_key(_NUMBER.sub(_sortable_number, name)):
        if weight:
            levels[-1].append(weight)
        else:
            levels.append([])
    return b"\0\0".join(
        _pack(level, common)
        for level, common in zip(levels, _COMMON_WEIGHTS, strict=False)  # the fourth is empty
    )


def _pack(weights: list[int], common: int) -> bytes:
    """The weights of a level. Common ones at the end are left out, which changes no comparison."""
    while weights and weights[-1] == common:
        weights.pop()
    weights = weights[:_MAX_WEIGHTS]
    return struct.pack(f">{len(weights)}H", *weights)


def _sortable_number(match: re.Match[str]) -> str:
    """The digits after their count, so that a longer number sorts after a shorter one."""
    digits = "".join(str(unicodedata.digit(digit)) for digit in match[0]).lstrip("0")
    return f"{len(digits):03}{digits}"


@cache
def _collator() -> Collator:
    """The table of weights, which takes a tenth of a second to load."""
    return Collator()
