"""Order numbers: short enough to read out on the telephone, with check digits, and hiding how many orders there are.

Serial numbers are permuted within their range and carry the two check digits of ISO 7064 MOD 97-10, which detect every
wrong digit and every swapped pair of digits.
"""

_RANGE = 10**8
_MULTIPLIER = 61_803_399  # coprime to the range, so the permutation is one to one
_INVERSE = pow(_MULTIPLIER, -1, _RANGE)
_CHECK_MODULUS = 97
_MAX_DIGITS = 18


def format_order_number(serial: int) -> str:
    """Returns the number of the order with this serial (1 or more), such as `S-6180339966`."""
    block, rest = divmod(serial, _RANGE)
    permuted = block * _RANGE + rest * _MULTIPLIER % _RANGE
    return f"S-{permuted:08d}{98 - permuted * 100 % _CHECK_MODULUS:02d}"


def parse_order_number(number: str) -> int | None:
    """Returns the serial that a number stands for, or None when the number is mistyped."""
    digits = number.removeprefix("S-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS and int(digits) % _CHECK_MODULUS == 1):
        return None
    block, rest = divmod(int(digits) // 100, _RANGE)
    return block * _RANGE + rest * _INVERSE % _RANGE
