"""Codes that people type: random bytes in Crockford's base 32, and the form in which codes are compared."""

RANDOM_BYTES = 10
"""Of a code: 80 random bits, too many to be guessed, which make 16 characters."""
_GROUP_LENGTH = 4
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32, without letters that look like digits."""
_LOOKALIKES = str.maketrans("OIL", "011")


def format_code(random: bytes) -> str:
    """Returns a code such as `7K2M-9QXC-0T4B-V8ZD`; the bits are a multiple of 5."""
    number = int.from_bytes(random)
    text = "".join(_ALPHABET[number >> shift & 31] for shift in range(8 * len(random) - 5, -1, -5))
    return "-".join(text[start : start + _GROUP_LENGTH] for start in range(0, len(text), _GROUP_LENGTH))


def code_key(code: str) -> str:
    """Returns the form in which codes are compared: letters and digits alone, without case and lookalikes."""
    return "".join(char for char in code.upper() if char.isascii() and char.isalnum()).translate(_LOOKALIKES)
