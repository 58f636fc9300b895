"""Idempotency keys: which ones a POST may send, and how long a guest's must be.

A guest's key is the only thing that keeps their stored responses, secrets included, apart from those of other guests.
So it must not be guessable: it carries 128 random bits, or is a UUID. Random bits cannot be recognised, but a key that
is too short for them, or that repeats itself, can.
"""

import re

from contracts.failure import IdempotencyKeyRequired, IdempotencyKeyTooShort, InvalidIdempotencyKey
from edge.request_context import RequestContext
from edge.routes import Route

_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")
_DECIMAL, _HEXADECIMAL = re.compile(r"[0-9]*"), re.compile(r"[0-9A-Fa-f]*")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/_-]")
DECIMAL_DIGITS, HEXADECIMAL_DIGITS, BASE64_DIGITS = 39, 32, 22
"""How many digits of each kind hold 128 bits."""
MIN_DIFFERENT_DECIMALS, MIN_DIFFERENT_DIGITS = 6, 8
"""Random keys have more different digits: fewer occur once in ten million keys."""


def read_idempotency_key(context: RequestContext, route: Route, *, is_anonymous: bool, required: bool) -> str | None:
    """Returns the idempotency key of a POST; None without one."""
    if context.method != "POST":
        return None
    key = context.header("Idempotency-Key")
    if key is None:
        if required and route.moves_money:
            raise IdempotencyKeyRequired
        return None
    if not _PRINTABLE.fullmatch(key):
        raise InvalidIdempotencyKey
    if is_anonymous and not can_hold_128_bits(key):
        raise IdempotencyKeyTooShort
    return key


def can_hold_128_bits(key: str) -> bool:
    """Returns whether a key can hold 128 random bits in decimal, hexadecimal (as a UUID does) or base64 digits."""
    digits = _NOT_BASE64.sub("", key)
    without_dashes = digits.replace("-", "")
    different = len(set(without_dashes.casefold()))
    if _DECIMAL.fullmatch(without_dashes):
        is_long, is_varied = len(without_dashes) >= DECIMAL_DIGITS, different >= MIN_DIFFERENT_DECIMALS
    elif _HEXADECIMAL.fullmatch(without_dashes):
        is_long, is_varied = len(without_dashes) >= HEXADECIMAL_DIGITS, different >= MIN_DIFFERENT_DIGITS
    else:
        is_long, is_varied = len(digits) >= BASE64_DIGITS, different >= MIN_DIFFERENT_DIGITS
    return is_long and is_varied and not _is_repetition(without_dashes)


def _is_repetition(text: str) -> bool:
    """Whether the text is a shorter text, repeated."""
    return text in (text + text)[1:-1]
