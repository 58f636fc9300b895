"""Authenticator codes (RFC 6238) and recovery codes, for owners who lost their authenticator.

A reader of the database alone can use neither. A secret is encrypted under a key outside the database, for one account,
and of a recovery code only a keyed digest is stored. A code is valid in its time step and in one step before and after,
because clocks differ. Once a step was used, its code and those of earlier steps are refused.
"""

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from uuid import UUID

import pyotp
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyotp.exceptions import OTPVerificationError

from contracts.user import RECOVERY_CODE_COUNT
from services.user.domain.second_factor import EnteredCode, SecondFactor

DRIFT_STEPS = 1
"""How many steps of 30 seconds an authenticator's clock may be off, either way."""
_RECOVERY_CODE_BYTES, _GROUP_LENGTH = 15, 6
_NONCE_BYTES = 12


@dataclass(frozen=True)
class TotpCodes:
    """Makes authenticator secrets and recovery codes, and recognizes their codes."""

    key: bytes = field(repr=False)
    recovery_key: bytes = field(repr=False)
    issuer: str
    """Shop name that authenticator apps show."""

    def new_secret(self, account_id: UUID) -> tuple[str, bytes]:
        """Returns a secret of 160 bits in Base32, and its encrypted form for the database."""
        secret, nonce = pyotp.random_base32(), os.urandom(_NONCE_BYTES)
        return secret, nonce + AESGCM(self.key).encrypt(nonce, secret.encode(), account_id.bytes)

    def provisioning_uri(self, secret: str, email: str) -> str:
        """Returns the `otpauth://` URI that an authenticator app reads from a QR code."""
        return pyotp.TOTP(secret, name=email, issuer=self.issuer).provisioning_uri()

    def matching_step(self, factor: SecondFactor, entered: EnteredCode) -> int | None:
        """Returns the time step of a code, or None when the code is wrong or its step was used before."""
        if not entered.is_authenticator_code:
            return None
        try:
            totp = pyotp.TOTP(self._decrypt(factor))
            step = totp.verify_and_get_timecode(entered.text, for_time=factor.unix_time, valid_window=DRIFT_STEPS)
        except OTPVerificationError:
            return None
        return step if step > factor.last_step else None

    def recovery_code_digest(self, account_id: UUID, entered: EnteredCode) -> bytes:
        """Returns the stored form of a recovery code."""
        return hmac.digest(self.recovery_key, account_id.bytes + entered.text.encode(), hashlib.sha256)

    def _decrypt(self, factor: SecondFactor) -> str:
        nonce, ciphertext = factor.secret[:_NONCE_BYTES], factor.secret[_NONCE_BYTES:]
        return AESGCM(self.key).decrypt(nonce, ciphertext, factor.account_id.bytes).decode()


def new_recovery_codes() -> list[str]:
    """Returns codes of 120 random bits each, in groups that are easy to copy from paper."""
    codes = (base64.b32encode(secrets.token_bytes(_RECOVERY_CODE_BYTES)).decode() for _ in range(RECOVERY_CODE_COUNT))
    return [_group(code) for code in codes]


def _group(code: str) -> str:
    return "-".join(code[start : start + _GROUP_LENGTH] for start in range(0, len(code), _GROUP_LENGTH))
