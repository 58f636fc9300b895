"""Words of a search text, and which words of products a mistyped one may stand for."""

import re
from collections.abc import Sequence

_WORDS = re.compile(r"\w+")
_LETTERS = re.compile(r"[^\W\d_]+")
MIN_TYPO_LENGTH = 4
"""Letters of a word that may be mistyped: short words are one typo away from too many others."""
MAX_TYPO_LENGTH = 40
MAX_CORRECTIONS = 10
"""Words that one mistyped word may stand for."""


def find_words(text: str) -> list[str]:
    """The words of a folded text."""
    return _WORDS.findall(text)


def may_be_mistyped(word: str) -> bool:
    """Whether the word is long enough, and has only letters: SKUs and model numbers are found as they are or not."""
    return MIN_TYPO_LENGTH <= len(word) <= MAX_TYPO_LENGTH and _LETTERS.fullmatch(word) is not None


def choose_corrections(word: str, candidates: Sequence[str], *, is_unfinished: bool) -> list[str]:
    """The candidates that are one typo away from the word; for an unfinished word, also by their beginning."""
    close = [one for one in candidates if one != word and is_one_typo_away(word, one)]
    if is_unfinished and not close:
        close = [one for one in candidates if _begins_one_typo_away(word, one)]
    return sorted(close, key=lambda one: (abs(len(one) - len(word)), one))[:MAX_CORRECTIONS]


def is_one_typo_away(word: str, other: str) -> bool:
    """Whether one letter is added, left out or replaced, or two letters in a row are swapped. Equal words are."""
    if abs(len(word) - len(other)) > 1:
        return False
    start = 0
    while start < min(len(word), len(other)) and word[start] == other[start]:
        start += 1
    rest, other_rest = word[start:], other[start:]
    return (
        rest[1:] == other_rest[1:]
        or rest[1:] == other_rest
        or rest == other_rest[1:]
        or (rest[:2] == other_rest[1::-1] and rest[2:] == other_rest[2:])
    )


def _begins_one_typo_away(word: str, other: str) -> bool:
    sizes = (len(word) - 1, len(word), len(word) + 1)
    return any(is_one_typo_away(word, other[:size]) for size in sizes)
