"""Idempotency: requests with the same key have one effect and get the same reply.

The first reply is stored in the transaction of the effect, under a digest of operation, caller and key, so one caller
cannot read the reply of another. Replies that contain secrets, such as tokens, are encrypted with a secret derived from
the key itself, which is not stored.
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
"""Seconds that a stored reply is kept."""
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class StoredReply:
    """The encoded body and the headers of a reply."""

    body: bytes = field(repr=False)
    headers: dict[str, str]


@dataclass(slots=True)
class IdempotencyKey:
    """The idempotency key of one request, by operation and caller."""

    digest: bytes
    """The hash of operation, caller and key, under which the reply is stored."""
    fingerprint: bytes
    """The hash of the request's body: the same key with another body is refused."""
    secret: bytes | None = field(default=None, repr=False)
    """Encrypts the reply of a confidential operation."""
    is_stored: bool = field(default=False, compare=False)
    """Set once the reply is stored in the transaction of the effect."""
    owner: UUID | None = field(default=None, compare=False)
    """The signed-in user; their stored replies are deleted when the user is erased."""

    @staticmethod
    def derive(
        operation: str, caller: str, key: str, body: bytes, *, confidential: bool = False, owner: UUID | None = None
    ) -> "IdempotencyKey":
        """Derives the key of a request; `caller` is the user id or an order's token, or empty for other guests.

        The edge takes only long random keys from guests, so no two of them have the same one.
        """
        digest = hashlib.sha256(f"{operation}\0{caller}\0{key}".encode()).digest()
        if not confidential:
            return IdempotencyKey(digest, hashlib.sha256(body).digest(), owner=owner)
        # The body contains a password, so the stored hash must not help to guess it.
        secret = hashlib.sha256(b"answer\0" + digest + key.encode()).digest()
        return IdempotencyKey(digest, hmac.digest(secret, body, "sha256"), secret, owner=owner)

    def seal(self, reply: StoredReply) -> bytes:
        """Encodes a reply for the store, encrypted if the operation is confidential."""
        plain = orjson.dumps([reply.headers, reply.body.decode()])
        if self.secret is None:
            return plain
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self.secret).encrypt(nonce, plain, None)

    def unseal(self, fingerprint: bytes, sealed: bytes) -> StoredReply:
        """Decodes a stored reply. Raises `IdempotencyKeyReused` if it belongs to a request with another body."""
        if fingerprint != self.fingerprint:
            raise IdempotencyKeyReused
        if self.secret is not None:
            sealed = AESGCM(self.secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        headers, body = orjson.loads(sealed)
        return StoredReply(body.encode(), headers)


class AlreadyProcessed(Exception):  # noqa: N818 - control flow, not an error
    """Another request with the same key was handled first; its reply is in the store."""


class IdempotencyStore(Protocol):
    """Stores the replies of a service by idempotency key."""

    async def find_reply(self, key: IdempotencyKey) -> StoredReply | None:
        """Returns the stored reply, or None. Raises `IdempotencyKeyReused` if it belongs to another request."""

    async def store_reply(self, key: IdempotencyKey, reply: StoredReply) -> None:
        """Stores a reply outside the transaction of its effect. If one is already stored, that one stays."""
