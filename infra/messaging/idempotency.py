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

REPLY_RETENTION_SECONDS = 24 * 3600
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class StoredReply:
    """An answer as it went out: body and headers."""

    body: bytes = field(repr=False)
    headers: dict[str, str]


@dataclass(slots=True)
class IdempotencyKey:
    """What one caller named one request of one operation."""

    digest: bytes
    fingerprint: bytes
    secret: bytes | None = field(default=None, repr=False)
    is_stored: bool = field(default=False, compare=False)
    """Set once the answer is in the store with its effect."""
    owner: UUID | None = field(default=None, compare=False)
    """The signed-in user who asked: what they were answered is forgotten with them."""

    @staticmethod
    def derive(
        operation: str, caller: str, key: str, body: bytes, *, confidential: bool = False, owner: UUID | None = None
    ) -> "IdempotencyKey":
        digest = hashlib.sha256(f"{operation}\0{caller}\0{key}".encode()).digest()
        if not confidential:
            return IdempotencyKey(digest, hashlib.sha256(body).digest(), owner=owner)
        # The body holds a password: what is kept of it must not help anybody who guesses.
        secret = hashlib.sha256(b"answer\0" + digest + key.encode()).digest()
        return IdempotencyKey(digest, hmac.digest(secret, body, "sha256"), secret, owner=owner)

    def seal(self, reply: StoredReply) -> bytes:
        plain = orjson.dumps([reply.headers, reply.body.decode()])
        if self.secret is None:
            return plain
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self.secret).encrypt(nonce, plain, None)

    def unseal(self, fingerprint: bytes, sealed: bytes) -> StoredReply:
        """The answer that was kept under this key, if it was for the same request."""
        if fingerprint != self.fingerprint:
            raise IdempotencyKeyReused
        plain = (
            sealed
            if self.secret is None
            else AESGCM(self.secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        )
        headers, body = orjson.loads(plain)
        return StoredReply(body.encode(), headers)


class AlreadyProcessed(Exception):  # noqa: N818 - not an error: the effect is there already
    """Another request with the same key was first; its answer is in the store."""


class IdempotencyStore(Protocol):
    """Where a service keeps its answers."""

    async def find_reply(self, key: IdempotencyKey) -> StoredReply | None:
        """The answer kept under the key; `IdempotencyKeyReused` when it was for another request."""

    async def store_reply(self, key: IdempotencyKey, answer: StoredReply) -> None:
        """Keeps an answer whose effect is elsewhere or nothing. The first one wins."""
