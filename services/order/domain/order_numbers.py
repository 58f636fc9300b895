"""The number of an order: short enough for the telephone, checked, and silent on how many orders there are.

Serial numbers are spread over their range, one to one, and carry the two check digits of ISO 7064 MOD 97-10, which
find every wrong digit and every pair that was swapped.
"""

_RANGE = 10**8
_SPREAD = 61_803_399  # shares no factor with the range, so that no two serials meet
_GATHER = pow(_SPREAD, -1, _RANGE)
_CHECK = 97
_LONGEST = 18


def format_order_number(serial: int) -> str:
    """Of the n-th order, n >= 1."""
    block, rest = divmod(serial, _RANGE)
    spread = block * _RANGE + rest * _SPREAD % _RANGE
    return f"S-{spread:08d}{98 - spread * 100 % _CHECK:02d}"


def parse_order_number(number: str) -> int | None:
    """Which order a number names, or None where it is mistyped."""
    digits = number.removeprefix("S-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST and int(digits) % _CHECK == 1):
        return None
    block, rest = divmod(int(digits) // 100, _RANGE)
    return block * _RANGE + rest * _GATHER % _RANGE
