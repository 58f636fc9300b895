"""Card numbers, recognised so that they can be refused: they must not come in, be kept or be logged."""

import re

_DIGITS = re.compile(r"[0-9]+")
_GAP = re.compile(r"[\s._-]{0,2}")
_LENGTHS = range(13, 20)
_ISSUERS = re.compile(
    r"4"  # Visa
    r"|5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"  # Mastercard
    r"|3[47]"  # American Express
    r"|6011|65|64"  # Discover
    r"|35"  # JCB
    r"|3[068]"  # Diners Club
    r"|62"  # UnionPay
)


def looks_like_card(text: str) -> bool:
    """Whether a card number stands anywhere in a text, alone or among words, its digits in one piece or in groups."""
    runs = list(_DIGITS.finditer(text))
    for first in range(len(runs)):
        digits, end = "", runs[first].start()
        for run in runs[first:]:
            if len(digits) > _LENGTHS[-1] or not _GAP.fullmatch(text, end, run.start()):
                break
            digits, end = digits + run.group(), run.end()
            if _is_card(digits):
                return True
    return False


def _is_card(digits: str) -> bool:
    return len(digits) in _LENGTHS and _ISSUERS.match(digits) is not None and _checks(digits)


def _checks(digits: str) -> bool:
    """The Luhn sum: every second digit from the right doubled, all of them added, divisible by ten."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(int(digit) for digit in digits[::-2])) % 10 == 0
