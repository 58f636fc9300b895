"""Second factors: how codes are typed, how long a new secret is pending, and how long wrong codes make one wait."""

import math
import re
from dataclasses import dataclass, field
from uuid import UUID

from pydantic import SecretStr

PENDING_SECONDS = 3600.0
"""How long a new secret can be confirmed."""
WRONG_CODES_BEFORE_WAIT = 5
"""Wrong codes in a row, from any address, after which the account's next authenticator code has to wait."""
FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 30, 6 * 3600
"""The wait doubles with each further wrong code. An attacker who knows the password ends up with four guesses a day,
from however many addresses. Three of a million codes are valid, so one guess succeeds in about two centuries."""
_MAX_DOUBLINGS = 20
_AUTHENTICATOR_CODE = re.compile("[0-9]{6}")
_RECOVERY_CODE = re.compile("[A-Z2-7]{24}")


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """The second factor of an account as it is stored, with times by the database's clock."""

    account_id: UUID
    secret: bytes = field(repr=False)
    last_step: int
    wrong_codes: int
    seconds_since_wrong: float
    age_seconds: float
    unix_time: float
    """Now, in seconds since 1970: one clock for all processes that check codes."""

    @property
    def is_pending(self) -> bool:
        """Whether the secret can still be confirmed."""
        return self.age_seconds < PENDING_SECONDS

    @property
    def retry_after_seconds(self) -> int | None:
        """Seconds until the next authenticator code is checked; None when it is checked now."""
        doublings = self.wrong_codes - WRONG_CODES_BEFORE_WAIT
        if doublings < 0:
            return None
        wait = min(FIRST_WAIT_SECONDS * 2 ** min(doublings, _MAX_DOUBLINGS), MAX_WAIT_SECONDS)
        left = wait - self.seconds_since_wrong
        return math.ceil(left) if left > 0 else None


@dataclass(frozen=True, slots=True)
class EnteredCode:
    """A code as the user typed it, without spaces and dashes; it may be of neither kind."""

    text: str = field(repr=False)

    @property
    def is_recovery_code(self) -> bool:
        """Whether it has the form of a recovery code."""
        return _RECOVERY_CODE.fullmatch(self.text) is not None

    @property
    def is_authenticator_code(self) -> bool:
        """Whether it has the form of an authenticator code."""
        return _AUTHENTICATOR_CODE.fullmatch(self.text) is not None


@dataclass(frozen=True, slots=True)
class VerifiedCode:
    """A correct code: one of a time step of this secret, or, without a step, a recovery code."""

    secret: bytes = field(repr=False)
    step: int | None = None
    recovery_digest: bytes = field(default=b"", repr=False)


def parse_code(code: str | SecretStr) -> EnteredCode:
    """Removes what users type between the characters; digits of other scripts make no code."""
    plain = code if isinstance(code, str) else code.get_secret_value()
    return EnteredCode(re.sub(r"[ -]", "", plain).upper() if plain.isascii() else "")
