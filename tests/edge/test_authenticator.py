"""Which access tokens are accepted, and how often the public keys are fetched."""

import base64
import time
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from contracts.failure import InvalidToken, Unavailable
from contracts.identity import Role
from contracts.user import Jwks
from edge.auth.authenticator import KEYS_STALE_SECONDS, REFETCH_PAUSE_SECONDS, Authenticator, JwksCache
from edge.caller import Caller
from tests.edge.token_signing import SUBJECT, TokenSigner, hmac_signed_token, unsigned_token, valid_claims

SIGNER = TokenSigner()
FORGER = TokenSigner()


class FakeUserService:
    """A user service that counts fetches of its keys, with a clock that the test sets."""

    def __init__(self, *signers: TokenSigner) -> None:
        self.signers = list(signers)
        self.fetches = 0
        self.now = 1000.0
        self.is_unavailable = False

    async def fetch(self) -> Jwks:
        self.fetches += 1
        if self.is_unavailable:
            raise Unavailable
        return Jwks(keys=[signer.jwk() for signer in self.signers])

    def authenticator(self) -> Authenticator:
        return Authenticator(JwksCache(self.fetch, lambda: self.now), lambda: time.time() + self.now - 1000)


def sign_raw(header: dict[str, Any], claims: bytes | None = None) -> str:
    """Signs a header and claims that no library would write, with the right key."""
    full_header = {"alg": "RS256", "kid": SIGNER.kid, "typ": "JWT", **header}
    parts = (orjson.dumps(full_header), orjson.dumps(valid_claims()) if claims is None else claims)
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = SIGNER.key.sign(text, PKCS1v15(), SHA256())
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


async def authenticate(token: str, user_service: FakeUserService | None = None) -> Caller | None:
    return await (user_service or FakeUserService(SIGNER)).authenticator().authenticate(f"Bearer {token}")


async def test_a_valid_token_gives_an_identity() -> None:
    caller = await authenticate(SIGNER.token(role="admin"))
    assert caller is not None
    assert (str(caller.identity.user_id), caller.identity.role) == (SUBJECT, Role.ADMIN)
    assert SUBJECT in caller.identity_header


async def test_without_a_token_there_is_no_caller() -> None:
    assert await FakeUserService().authenticator().authenticate(None) is None


@pytest.mark.parametrize(
    "token",
    [
        SIGNER.token(exp=int(time.time()) - 1),
        SIGNER.token(exp=None),
        SIGNER.token(exp="soon"),
        SIGNER.token(aud="elsewhere"),
        SIGNER.token(aud=None),
        SIGNER.token(aud=["souk-api", "elsewhere"]),
        SIGNER.token(iss="elsewhere"),
        SIGNER.token(iss=None),
        SIGNER.token(typ="refresh"),
        SIGNER.token(typ=None),
        SIGNER.token(role="root"),
        SIGNER.token(role=None),
        SIGNER.token(sub="nobody"),
        SIGNER.token(sub=None),
        SIGNER.token({"kid": "another"}),
        unsigned_token(valid_claims(), "RS256", kid=None),
        unsigned_token(valid_claims(), "RS256", kid={"$ne": ""}),
        FORGER.token(),
        FORGER.token({"jwk": FORGER.jwk()}),
        FORGER.token({"jku": "https://elsewhere/jwks.json"}),
        SIGNER.token()[:-8],
        SIGNER.token().rpartition(".")[0] + ".",
        SIGNER.token().replace(".", "..", 1),
        unsigned_token(valid_claims()),
        unsigned_token(valid_claims(), "None"),
        unsigned_token(valid_claims(), "RS256", signature=b"x" * 256),
        hmac_signed_token(valid_claims(), SIGNER.public_pem()),
        hmac_signed_token(valid_claims(), SIGNER.public_pem().strip()),
        SIGNER.token(nbf=int(time.time()) + 3600),
        SIGNER.token(sid="nobody"),
        SIGNER.token(role=["admin"]),
        SIGNER.token({"crit": ["anything"], "anything": True}),
        SIGNER.token() + ".a.b",
        jwt.encode(valid_claims(), SIGNER.key, "RS512", {"kid": SIGNER.kid}),
        jwt.encode(valid_claims(), SIGNER.key, "PS256", {"kid": SIGNER.kid}),
        sign_raw({"alg": ["RS256"]}),
        sign_raw({}, b"[]"),
        sign_raw({}, b"null"),
        sign_raw({}, b"[" * 2500),
        sign_raw({}, orjson.dumps({**valid_claims(), "exp": None}).replace(b"null", b"Infinity")),
        unsigned_token(valid_claims(), "RS256", kid="../../../../dev/null"),
        unsigned_token(valid_claims(), "RS256", kid="' UNION SELECT 'key' --"),
        "",
        "nonsense",
        "a.b.c",
        "\udcff",
        "x" * 1_000_000,
    ],
)
async def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        await authenticate(token)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", SIGNER.token()])
async def test_a_header_without_a_bearer_token_is_refused(header: str) -> None:
    with pytest.raises(InvalidToken):
        await FakeUserService(SIGNER).authenticator().authenticate(header)


async def test_a_verified_token_is_cached_until_it_expires() -> None:
    user_service = FakeUserService(SIGNER)
    authenticator, header = user_service.authenticator(), f"Bearer {SIGNER.token(exp=int(time.time()) + 60)}"
    first = await authenticator.authenticate(header)
    assert await authenticator.authenticate(header) is first
    user_service.now += 61
    again = await authenticator.authenticate(header)
    assert again is not first, "it is verified again; its own expiry is not over on the real clock"


async def test_keys_are_fetched_once_and_again_when_stale() -> None:
    user_service = FakeUserService(SIGNER)
    authenticator = user_service.authenticator()
    for name in ("a", "b"):
        await authenticator.authenticate(f"Bearer {SIGNER.token(jti=name)}")
    assert user_service.fetches == 1
    user_service.now += KEYS_STALE_SECONDS + 1
    await authenticator.authenticate(f"Bearer {SIGNER.token(jti='c')}")
    assert user_service.fetches == 2


async def test_an_unknown_key_id_is_fetched_at_intervals() -> None:
    user_service, new = FakeUserService(SIGNER), TokenSigner("key-2")
    authenticator = user_service.authenticator()
    await authenticator.authenticate(f"Bearer {SIGNER.token()}")
    for _ in range(5):
        with pytest.raises(InvalidToken):
            await authenticator.authenticate(f"Bearer {new.token()}")
    assert user_service.fetches == 1
    user_service.signers.append(new)
    user_service.now += REFETCH_PAUSE_SECONDS + 1
    assert await authenticator.authenticate(f"Bearer {new.token()}")
    assert user_service.fetches == 2


async def test_while_the_user_service_is_unavailable_known_keys_stay_valid() -> None:
    user_service = FakeUserService(SIGNER)
    user_service.is_unavailable = True
    with pytest.raises(Unavailable):
        await authenticate(SIGNER.token(), user_service)
    reachable_before = FakeUserService(SIGNER)
    authenticator = reachable_before.authenticator()
    await authenticator.authenticate(f"Bearer {SIGNER.token()}")
    reachable_before.is_unavailable, reachable_before.now = True, reachable_before.now + KEYS_STALE_SECONDS + 1
    assert await authenticator.authenticate(f"Bearer {SIGNER.token(jti='later')}"), "known keys stay valid"
