"""Second factors: the codes of an authenticator (RFC 6238), and the recovery codes of whoever has lost it.

Who reads the database alone gets neither: a secret is sealed under a key of its own, for one account, and of a recovery
code only a keyed digest is kept. A code is good for its time step and one step before and after it, as clocks differ,
but of a step that was taken, and of those before, none is taken again.
"""

import base64
import hashlib
import hmac
import math
import os
import re
import secrets
from dataclasses import dataclass, field
from uuid import UUID

import pyotp
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr
from pyotp.exceptions import OTPVerificationError

from contracts.user import RECOVERY_CODE_COUNT

DRIFT_STEPS = 1
"""Steps of 30 seconds that an authenticator's clock may be off, either way."""
PENDING_SECONDS = 3600.0
"""Seconds in which a new secret can be confirmed."""
WRONG_CODES_BEFORE_WAIT = 5
"""Wrong codes in a row, wherever they come from, until an account's next one has to wait."""
FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 30, 6 * 3600
"""Seconds of that wait; each further wrong code doubles it. Of a million codes three are right: who knows the password
and guesses, from however many addresses, has four guesses a day in the end, and is right once in two centuries."""
_DOUBLINGS = 20
_RECOVERY_BYTES, _GROUP = 15, 6
_NONCE = 12
_DIGITS = re.compile("[0-9]{6}")
_RECOVERY = re.compile("[A-Z2-7]{24}")


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """The second factor of an account as it is kept, and what the database's clock says of it, in seconds."""

    account_id: UUID
    secret: bytes = field(repr=False)
    last_step: int
    wrong: int
    wrong_age: float
    age: float
    moment: float
    """Since 1970: one clock for all who judge codes."""

    @property
    def is_pending(self) -> bool:
        """Whether it can still be confirmed."""
        return self.age < PENDING_SECONDS

    @property
    def retry_after_seconds(self) -> int | None:
        """Seconds until another code of the authenticator is looked at; None when it is now."""
        doublings = self.wrong - WRONG_CODES_BEFORE_WAIT
        if doublings < 0:
            return None
        left = min(FIRST_WAIT_SECONDS * 2 ** min(doublings, _DOUBLINGS), MAX_WAIT_SECONDS) - self.wrong_age
        return math.ceil(left) if left > 0 else None


@dataclass(frozen=True, slots=True)
class EnteredCode:
    """A code as somebody typed it, spaces and dashes aside; it may be neither of the two."""

    text: str = field(repr=False)

    @property
    def is_recovery(self) -> bool:
        return _RECOVERY.fullmatch(self.text) is not None

    @property
    def is_digits(self) -> bool:
        return _DIGITS.fullmatch(self.text) is not None


@dataclass(frozen=True, slots=True)
class VerifiedCode:
    """What a code was found to be: of a time step of this secret, or, without one, a recovery code."""

    secret: bytes = field(repr=False)
    step: int | None = None
    recovery_digest: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class TotpCodes:
    """Makes the secrets of authenticators and recovery codes, and knows them again."""

    key: bytes = field(repr=False)
    recovery_key: bytes = field(repr=False)
    issuer: str
    """What an authenticator calls the shop."""

    def new_secret(self, account_id: UUID) -> tuple[str, bytes]:
        """A secret of 160 bits in Base32, and as it is kept."""
        secret, nonce = pyotp.random_base32(), os.urandom(_NONCE)
        return secret, nonce + AESGCM(self.key).encrypt(nonce, secret.encode(), account_id.bytes)

    def provisioning_uri(self, secret: str, email: str) -> str:
        return pyotp.TOTP(secret, name=email, issuer=self.issuer).provisioning_uri()

    def matching_step(self, factor: SecondFactor, typed: EnteredCode) -> int | None:
        """The time step a code is of; None when it is wrong, or was used before."""
        if not typed.is_digits:
            return None
        try:
            totp = pyotp.TOTP(self._opened(factor))
            step = totp.verify_and_get_timecode(typed.text, for_time=factor.moment, valid_window=DRIFT_STEPS)
        except OTPVerificationError:
            return None
        return step if step > factor.last_step else None

    def recovery_code_digest(self, account_id: UUID, typed: EnteredCode) -> bytes:
        """What is kept of a recovery code."""
        return hmac.digest(self.recovery_key, account_id.bytes + typed.text.encode(), hashlib.sha256)

    def _opened(self, factor: SecondFactor) -> str:
        nonce, sealed = factor.secret[:_NONCE], factor.secret[_NONCE:]
        return AESGCM(self.key).decrypt(nonce, sealed, factor.account_id.bytes).decode()


def new_recovery_codes() -> list[str]:
    """Each of 120 random bits: enough for a plain digest, and still typed from paper."""
    return [
        _grouped(base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode()) for _ in range(RECOVERY_CODE_COUNT)
    ]


def _grouped(code: str) -> str:
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))


def parse_code(code: str | SecretStr) -> EnteredCode:
    """A code without what people type between its letters. Digits of other scripts are none."""
    plain = code if isinstance(code, str) else code.get_secret_value()
    return EnteredCode(re.sub(r"[ -]", "", plain).upper() if plain.isascii() else "")
