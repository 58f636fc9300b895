"""Idempotency keys: a guest's must be hard to guess, since nothing else keeps the stored responses of guests apart."""

import base64
import secrets
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import headers
from edge.idempotency_keys import can_hold_128_bits
from infra.foundation.ids import new_id
from tests.edge.conftest import StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.http import HttpClient

GUESSABLE = [
    "1",
    "order-1",
    "9f1c7d52-order-1",
    "x" * 22,
    "a" * 255,
    "0" * 39,
    "1234567890" * 3,
    "00000000-0000-0000-0000-000000000000",
    "11111111-1111-1111-1111-111111111111",
    "0123456789abcdef" * 2,
    "order-1 " * 6,
    "2026-11-30T12:00:00.000000000",
    "!\"#$%&'()*,.:;<=>?@[]^`{|}~",
    "9f1c7d524b7e4f0a9a6d2c8e5b1f7d3",
]
GUEST_POSTS = [
    ("/carts", {}),
    ("/carts/c/items", {"sku": "A", "quantity": 1}),
    ("/orders", {}),
    ("/auth/register", {}),
    ("/auth/login", {}),
    ("/auth/refresh", {}),
    ("/auth/password/reset", {}),
]


@given(st.binary(min_size=16, max_size=16).filter(lambda drawn: len(set(drawn.hex())) >= 10))
def test_128_bits_are_long_enough_in_every_usual_form(bits: bytes) -> None:
    number = UUID(bytes=bits)
    forms = [str(number), number.hex, number.hex.upper(), f"cart-{number}", f"{{{number}}}"]
    assert all(map(can_hold_128_bits, forms))


def test_random_keys_are_long_enough() -> None:
    for _ in range(200):
        made = secrets.token_bytes(16)
        forms = [str(uuid4()), str(new_id()), secrets.token_urlsafe(16), base64.b64encode(made).decode()]
        assert all(map(can_hold_128_bits, [*forms, base64.b32encode(made).decode(), f"{int.from_bytes(made):039}"]))


@pytest.mark.parametrize("key", GUESSABLE)
async def test_a_guessable_key_of_a_guest_is_refused(edge: HttpClient, services: StubServices, key: str) -> None:
    response = await edge.post("/carts", {}, headers={"Idempotency-Key": key})
    assert (response.status, response.code) == (400, "idempotency_key_too_short")
    assert "UUID" in response.json["detail"]
    assert not services.requests


@pytest.mark.parametrize(("path", "body"), GUEST_POSTS)
async def test_every_post_of_a_guest_needs_a_long_key(
    edge: HttpClient, services: StubServices, path: str, body: dict[str, object]
) -> None:
    assert (await edge.post(path, body, key="1")).code == "idempotency_key_too_short"
    key = str(uuid4())
    await edge.post(path, body, key=key)
    assert (services.last_request.headers or {})[headers.IDEMPOTENCY_KEY] == key


async def test_a_signed_in_caller_may_use_a_short_key(
    edge: HttpClient, services: StubServices, signer: TokenSigner
) -> None:
    await edge.with_token(signer.token()).post("/carts", {}, key="1")
    assert (services.last_request.headers or {})[headers.IDEMPOTENCY_KEY] == "1"


async def test_a_token_does_not_shorten_the_key_where_it_is_ignored(edge: HttpClient, signer: TokenSigner) -> None:
    response = await edge.with_token(signer.token()).post("/auth/login", {}, key="1")
    assert response.code == "idempotency_key_too_short"
