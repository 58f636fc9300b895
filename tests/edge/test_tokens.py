"""Who is let in, and how often the user service is asked for its keys."""

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
from edge.auth.tokens import KEYS_STALE_SECONDS, REFETCH_PAUSE_SECONDS, Authenticator, Caller, JwksCache
from tests.edge.token_signing import SUBJECT, TokenSigner, hmac_signed_token, unsigned_token, valid_claims

SIGNER = TokenSigner()
STRANGER = TokenSigner()


class Fetching:
    """A user service that counts, and a clock that a test sets."""

    def __init__(self, *signers: TokenSigner) -> None:
        self.signers = list(signers)
        self.times = 0
        self.now = 1000.0
        self.away = False

    async def fetch(self) -> Jwks:
        self.times += 1
        if self.away:
            raise Unavailable
        return Jwks(keys=[signer.jwk() for signer in self.signers])

    def tokens(self) -> Authenticator:
        return Authenticator(JwksCache(self.fetch, lambda: self.now), lambda: time.time() + self.now - 1000)


def signed(header: dict[str, Any], claims: bytes | None = None) -> str:
    """With the right key, of what no library would write."""
    said = {"alg": "RS256", "kid": SIGNER.kid, "typ": "JWT", **header}
    parts = (orjson.dumps(said), orjson.dumps(valid_claims()) if claims is None else claims)
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = SIGNER.key.sign(text, PKCS1v15(), SHA256())
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


async def caller(token: str, fetching: Fetching | None = None) -> Caller | None:
    return await (fetching or Fetching(SIGNER)).tokens().authenticate(f"Bearer {token}")


async def test_a_good_token_is_an_identity() -> None:
    found = await caller(SIGNER.token(role="admin"))
    assert found is not None
    assert (str(found.identity.user_id), found.identity.role) == (SUBJECT, Role.ADMIN)
    assert SUBJECT in found.identity_header


async def test_no_token_is_nobody() -> None:
    assert await Fetching().tokens().authenticate(None) is None


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
        STRANGER.token(),
        STRANGER.token({"jwk": STRANGER.jwk()}),
        STRANGER.token({"jku": "https://elsewhere/jwks.json"}),
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
        signed({"alg": ["RS256"]}),
        signed({}, b"[]"),
        signed({}, b"null"),
        signed({}, b"[" * 2500),
        signed({}, orjson.dumps({**valid_claims(), "exp": None}).replace(b"null", b"Infinity")),
        unsigned_token(valid_claims(), "RS256", kid="../../../../dev/null"),
        unsigned_token(valid_claims(), "RS256", kid="' UNION SELECT 'key' --"),
        "",
        "nonsense",
        "a.b.c",
        "\udcff",
        "x" * 1_000_000,
    ],
)
async def test_any_other_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        await caller(token)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", SIGNER.token()])
async def test_a_header_that_is_no_bearer_token(header: str) -> None:
    with pytest.raises(InvalidToken):
        await Fetching(SIGNER).tokens().authenticate(header)


async def test_a_token_that_was_good_is_known_until_it_expires() -> None:
    fetching = Fetching(SIGNER)
    tokens, said = fetching.tokens(), f"Bearer {SIGNER.token(exp=int(time.time()) + 60)}"
    first = await tokens.authenticate(said)
    assert await tokens.authenticate(said) is first
    fetching.now += 61
    again = await tokens.authenticate(said)
    assert again is not first, "it is looked at anew, and its own clock says no"


async def test_keys_are_fetched_once_and_now_and_then() -> None:
    fetching = Fetching(SIGNER)
    tokens = fetching.tokens()
    for name in ("a", "b"):
        await tokens.authenticate(f"Bearer {SIGNER.token(jti=name)}")
    assert fetching.times == 1
    fetching.now += KEYS_STALE_SECONDS + 1
    await tokens.authenticate(f"Bearer {SIGNER.token(jti='c')}")
    assert fetching.times == 2


async def test_an_unknown_key_is_looked_for_but_not_too_often() -> None:
    fetching, new = Fetching(SIGNER), TokenSigner("key-2")
    tokens = fetching.tokens()
    await tokens.authenticate(f"Bearer {SIGNER.token()}")
    for _ in range(5):
        with pytest.raises(InvalidToken):
            await tokens.authenticate(f"Bearer {new.token()}")
    assert fetching.times == 1
    fetching.signers.append(new)
    fetching.now += REFETCH_PAUSE_SECONDS + 1
    assert await tokens.authenticate(f"Bearer {new.token()}")
    assert fetching.times == 2


async def test_without_the_user_service_nobody_is_called_a_liar() -> None:
    fetching = Fetching(SIGNER)
    fetching.away = True
    with pytest.raises(Unavailable):
        await caller(SIGNER.token(), fetching)
    known = Fetching(SIGNER)
    tokens = known.tokens()
    await tokens.authenticate(f"Bearer {SIGNER.token()}")
    known.away, known.now = True, known.now + KEYS_STALE_SECONDS + 1
    assert await tokens.authenticate(f"Bearer {SIGNER.token(jti='later')}"), "the keys that are there still do"
