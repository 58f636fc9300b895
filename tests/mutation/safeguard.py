"""What a safeguard is: a few words of the code, and the tests that are there for them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Safeguard:
    """What is taken away: `there` (once in `file`) becomes `without`; one of `tests` has to fail then."""

    name: str
    file: str
    code: str
    replacement: str
    tests: tuple[str, ...]
