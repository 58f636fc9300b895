"""Recognises card numbers in text, so that they are refused before anything stores or logs them.

A card number has the prefix of a known issuer, a length that this issuer uses, and a Luhn check digit. It may be
written in groups, separated by spaces, dashes or dots, and may stand inside longer text. A longer run of digits that
contains such a number is a tracking number or a barcode, not a card number.
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
"""Ranges of issuer prefixes, each with the lengths of its card numbers."""

MIN_LENGTH, MAX_LENGTH = 13, 19
_DIGIT_GROUPS = re.compile(r"[0-9](?:[\s._\u00ad\u200b\u2010-\u2015\u2212-]*[0-9])+")
_DIGITS = re.compile(r"[0-9]+")


def contains_card_number(text: str) -> bool:
    """Returns whether the text contains a card number."""
    normalized = unicodedata.normalize("NFKC", text)
    return any(
        is_card_number(digits)
        for groups in _DIGIT_GROUPS.finditer(normalized)
        for digits in _joined_groups(_DIGITS.findall(groups.group()))
    )


def is_card_number(digits: str) -> bool:
    """Returns whether all of these digits together are a card number: issuer, length and check digit."""
    return _has_issuer_prefix(digits) and has_valid_luhn_digit(digits)


def has_valid_luhn_digit(digits: str) -> bool:
    """Returns whether the last digit is the Luhn check digit of the others."""
    checksum = 0
    for place, digit in enumerate(reversed(digits)):
        weighted = int(digit) * (1 + place % 2)
        checksum += weighted - 9 if weighted > 9 else weighted  # noqa: PLR2004 - the sum of its two digits
    return checksum % 10 == 0


def _has_issuer_prefix(digits: str) -> bool:
    return any(
        len(digits) in lengths and int(digits[: len(str(prefixes.start))]) in prefixes
        for prefixes, lengths in ISSUER_PREFIXES
    )


def _joined_groups(groups: list[str]) -> Iterator[str]:
    """Yields each run of neighbouring groups whose total length could be that of a card number."""
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) > MAX_LENGTH:
                break
            if len(digits) >= MIN_LENGTH:
                yield digits
