"""The successor of a refresh token, kept for a moment for a client that lost the reply.

It is sealed under the spent token itself, which is kept nowhere: who reads the database gets nothing, and who brings
the spent token back within the grace gets what it was exchanged for, once.
"""

import hashlib
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


def seal_successor(successor: str, spent_token: str) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(_key(spent_token)).encrypt(nonce, successor.encode(), None)


def open_successor(sealed_successor: bytes, spent_token: str) -> str:
    return AESGCM(_key(spent_token)).decrypt(sealed_successor[:_NONCE], sealed_successor[_NONCE:], None).decode()


def _key(spent: str) -> bytes:
    return hashlib.sha256(b"successor\0" + spent.encode()).digest()
