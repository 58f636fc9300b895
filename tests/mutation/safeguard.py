"""A safeguard: a few words of code, and the tests that protect them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Safeguard:
    """Without the safeguard, `code` (once in `file`) becomes `replacement`, and one of `tests` must fail."""

    name: str
    file: str
    code: str
    replacement: str
    tests: tuple[str, ...]
