"""Recognises a card number in text, so that it can be refused before anything keeps or logs it.

A card number has a known issuer's prefix, a length that this issuer uses, and a Luhn check digit. It may be written in
groups, with spaces, dashes or dots between them, and stand inside longer text. A longer run of digits that merely
contains one is a tracking number or a barcode, and no card.
"""

import re
import unicodedata
from collections.abc import Iterator

ISSUER_PREFIXES: tuple[tuple[range, frozenset[int]], ...] = (
    (range(4, 5), frozenset({13, 16, 19})),  # Visa
    (range(51, 56), frozenset({16})),  # Mastercard
    (range(2221, 2721), frozenset({16})),
    (range(34, 35), frozenset({15})),  # American Express
    (range(37, 38), frozenset({15})),
    (range(6011, 6012), frozenset(range(16, 20))),  # Discover
    (range(644, 650), frozenset(range(16, 20))),
    (range(65, 66), frozenset(range(16, 20))),
    (range(35, 36), frozenset(range(16, 20))),  # JCB
    (range(30, 31), frozenset(range(14, 20))),  # Diners Club
    (range(36, 37), frozenset(range(14, 20))),
    (range(38, 40), frozenset(range(14, 20))),
    (range(62, 63), frozenset(range(16, 20))),  # UnionPay
)
"""Prefixes and the lengths that go with them."""

MIN_LENGTH, MAX_LENGTH = 13, 19
_RUN = re.compile(r"[0-9](?:[\s._\u00ad\u200b\u2010-\u2015\u2212-]*[0-9])+")
_GROUP = re.compile(r"[0-9]+")


def contains_card_number(text: str) -> bool:
    """Whether there is a card number in the text."""
    plain = unicodedata.normalize("NFKC", text)
    return any(
        is_card_number(digits) for run in _RUN.finditer(plain) for digits in _joined_groups(_GROUP.findall(run.group()))
    )


def is_card_number(digits: str) -> bool:
    """Whether these digits, all of them, are a card's: issuer, length, check digit."""
    return _has_issuer_prefix(digits) and has_valid_luhn_digit(digits)


def has_valid_luhn_digit(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - the sum of its two digits
    return total % 10 == 0


def _has_issuer_prefix(digits: str) -> bool:
    return any(
        len(digits) in lengths and int(digits[: len(str(prefixes.start))]) in prefixes
        for prefixes, lengths in ISSUER_PREFIXES
    )


def _joined_groups(groups: list[str]) -> Iterator[str]:
    """Every row of neighbouring groups that is as long as a card number can be."""
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) > MAX_LENGTH:
                break
            if len(digits) >= MIN_LENGTH:
                yield digits
