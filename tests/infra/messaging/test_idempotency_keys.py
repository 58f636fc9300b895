"""Idempotency keys and the replies stored under them."""

import pytest

from contracts.failure import IdempotencyKeyReused
from infra.messaging.idempotency import IdempotencyKey, StoredReply


def test_key_unseals_only_its_own_reply() -> None:
    reply = StoredReply(b'{"a": 1}', {"Souk-Version": "3"})
    key = IdempotencyKey.derive("rpc.order.place", "ada", "k", b"body")
    assert key.unseal(key.fingerprint, key.seal(reply)) == reply
    with pytest.raises(IdempotencyKeyReused):
        key.unseal(b"another", key.seal(reply))


def test_confidential_reply_is_encrypted_under_its_key() -> None:
    reply = StoredReply(b'{"token": "hush"}', {})
    key = IdempotencyKey.derive("rpc.user.login", "ada", "k", b"body", confidential=True)
    sealed = key.seal(reply)
    assert b"hush" not in sealed
    assert key.unseal(key.fingerprint, sealed) == reply
