"""The successor of a refresh token, kept briefly for a client that lost the reply.

The successor is encrypted under the spent token itself, which is stored nowhere. A reader of the database therefore
learns nothing, and a client that presents the spent token again within the grace period gets its successor.
"""

import hashlib
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


def seal_successor(successor: str, spent_token: str) -> bytes:
    """Encrypts the successor under the token that was spent for it."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(_key(spent_token)).encrypt(nonce, successor.encode(), None)


def open_successor(sealed_successor: bytes, spent_token: str) -> str:
    """Decrypts the successor of a spent token."""
    nonce, ciphertext = sealed_successor[:_NONCE_BYTES], sealed_successor[_NONCE_BYTES:]
    return AESGCM(_key(spent_token)).decrypt(nonce, ciphertext, None).decode()


def _key(spent_token: str) -> bytes:
    return hashlib.sha256(b"successor\0" + spent_token.encode()).digest()
