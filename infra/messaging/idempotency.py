"""One idempotency key, one effect: the first answer is kept in the transaction of the effect, and given again.

What is kept is found by a digest of operation, caller and key, so that nobody can meet another's answer. Answers that
hold secrets (tokens) are encrypted under the key itself, which is kept nowhere.
"""

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.failure import IdempotencyKeyReused

KEPT_SECONDS = 24 * 3600
_NONCE = 12


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer as it went out: body and headers."""

    body: bytes = field(repr=False)
    headers: dict[str, str]


@dataclass(slots=True)
class Key:
    """What one caller named one request of one operation."""

    digest: bytes
    fingerprint: bytes
    secret: bytes | None = field(default=None, repr=False)
    kept: bool = field(default=False, compare=False)
    """Set once the answer is in the store with its effect."""
    owner: UUID | None = field(default=None, compare=False)
    """The signed-in user who asked: what they were answered is forgotten with them."""

    @staticmethod
    def of(
        operation: str, caller: str, key: str, body: bytes, *, confidential: bool = False, owner: UUID | None = None
    ) -> "Key":
        digest = hashlib.sha256(f"{operation}\0{caller}\0{key}".encode()).digest()
        if not confidential:
            return Key(digest, hashlib.sha256(body).digest(), owner=owner)
        # The body holds a password: what is kept of it must not help anybody who guesses.
        secret = hashlib.sha256(b"answer\0" + digest + key.encode()).digest()
        return Key(digest, hmac.digest(secret, body, "sha256"), secret, owner=owner)

    def seal(self, answer: Stored) -> bytes:
        plain = orjson.dumps([answer.headers, answer.body.decode()])
        if self.secret is None:
            return plain
        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self.secret).encrypt(nonce, plain, None)

    def open(self, fingerprint: bytes, sealed: bytes) -> Stored:
        """The answer that was kept under this key, if it was for the same request."""
        if fingerprint != self.fingerprint:
            raise IdempotencyKeyReused
        plain = sealed if self.secret is None else AESGCM(self.secret).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
        headers, body = orjson.loads(plain)
        return Stored(body.encode(), headers)


class Replay(Exception):  # noqa: N818 - not an error: the effect is there already
    """Another request with the same key was first; its answer is in the store."""


class Replays(Protocol):
    """Where a service keeps its answers."""

    async def find(self, key: Key) -> Stored | None:
        """The answer kept under the key; `IdempotencyKeyReused` when it was for another request."""

    async def keep(self, key: Key, answer: Stored) -> None:
        """Keeps an answer whose effect is elsewhere or nothing. The first one wins."""
