"""The successor of a refresh token, kept for a moment for a client that lost the reply.

It is sealed under the spent token itself, which is kept nowhere: who reads the database gets nothing, and who brings
the spent token back within the grace gets what it was exchanged for, once.
"""

import hashlib
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


def sealed(successor: str, spent: str) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(_key(spent)).encrypt(nonce, successor.encode(), None)


def opened(successor: bytes, spent: str) -> str:
    return AESGCM(_key(spent)).decrypt(successor[:_NONCE], successor[_NONCE:], None).decode()


def _key(spent: str) -> bytes:
    return hashlib.sha256(b"successor\0" + spent.encode()).digest()
