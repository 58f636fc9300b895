"""The keys that access tokens are signed with: made once, sealed in the database, opened in memory.

The first process that finds none makes one; the others find it. Whoever verifies a token and does not know its `kid`
asks for the key set again. A rotation adds a key, which is published at once and signs a while later; those before are
published for as long as a token of theirs lives, so that nobody is signed out.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm
from jwt.utils import base64url_encode
from pydantic import SecretStr

from contracts.model import Empty
from contracts.user import ACCESS_TOKEN_TTL_SECONDS, TOKEN_ALGORITHM
from infra.database.postgres import Database
from infra.messaging.rpc import Request
from services.user.store import signing_keys as keys
from services.user.store.signing_keys import SigningKeyRecord

KEY_SIZE = 2048
PUBLIC_EXPONENT = 65537
RELOAD_SECONDS = 60.0
"""Seconds between two looks for new and retired keys."""
ACTIVATION_DELAY_SECONDS = 90.0
"""Seconds until a new key signs: every process publishes it by then, so that whoever meets its `kid` finds it."""
RETIREMENT_SECONDS = ACTIVATION_DELAY_SECONDS + RELOAD_SECONDS + ACCESS_TOKEN_TTL_SECONDS + 60
"""Seconds until an old one is forgotten: the last token it signed has expired by then."""


class WrongKeysSecret(Exception):  # noqa: N818 - says what to do, and is read by people
    """SOUK_KEYS_SECRET does not open the signing keys in the database: it is not the one they were made with."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    private: RSAPrivateKey = field(repr=False)

    @property
    def jwk(self) -> dict[str, Any]:
        """Its public half (RFC 7517)."""
        return {**_public(self.private), "kid": self.kid, "use": "sig", "alg": TOKEN_ALGORITHM}

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.private, algorithm=TOKEN_ALGORITHM, headers={"kid": self.kid})


class SigningKeys:
    """The keys in use. `reload` looks for new and retired ones."""

    def __init__(self, db: Database, secret: SecretStr) -> None:
        self._db = db
        self._secret = secret.get_secret_value().encode()
        self._keys: tuple[SigningKey, ...] = ()
        self._signing = ""

    async def all(self) -> tuple[SigningKey, ...]:
        """At least one, the newest first."""
        if not self._keys:
            await self.reload()
        return self._keys

    async def sign(self, claims: dict[str, Any]) -> str:
        """An access token. A signature takes a quarter of a millisecond, less than a way through a thread."""
        keys = await self.all()
        return next((key for key in keys if key.kid == self._signing), keys[0]).sign(claims)

    async def rotate(self, ask: Request[Empty]) -> tuple[str, list[str]]:
        """A new key, and those that it takes the place of."""
        made = await asyncio.to_thread(self._make)
        async with self._db.transaction() as tx:
            tx.audit_action(ask)
            await keys.lock_keys(tx.connection)
            await keys.add(tx.connection, made)
            former = await keys.retire_others(tx.connection, made.kid, RETIREMENT_SECONDS)
        await self.reload()
        return made.kid, former

    async def reload(self) -> bool:
        sealed = await self._sealed() or await self._first()
        known = {key.kid: key for key in self._keys}
        fresh = [await asyncio.to_thread(self._open, key) for key in sealed if key.kid not in known]
        known |= {key.kid: key for key in fresh}
        self._keys = tuple(known[key.kid] for key in sealed)
        self._signing = next((key.kid for key in sealed if key.settled), sealed[-1].kid)
        return False

    async def _sealed(self) -> list[SigningKeyRecord]:
        async with self._db.connection() as connection:
            return await keys.published(connection, ACTIVATION_DELAY_SECONDS)

    async def _first(self) -> list[SigningKeyRecord]:
        made = await asyncio.to_thread(self._make)
        async with self._db.transaction() as tx:
            await keys.lock_keys(tx.connection)
            await keys.add_if_none(tx.connection, made)
        return await self._sealed()

    def _make(self) -> SigningKeyRecord:
        private = generate_private_key(PUBLIC_EXPONENT, KEY_SIZE)
        sealed = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(self._secret))
        return SigningKeyRecord(_thumbprint(private), sealed.decode())

    def _open(self, key: SigningKeyRecord) -> SigningKey:
        try:
            private = load_pem_private_key(key.sealed.encode(), self._secret)
        except ValueError as error:
            raise WrongKeysSecret from error
        assert isinstance(private, RSAPrivateKey), f"the signing key {key.kid} is not an RSA key"
        return SigningKey(key.kid, private)


def _public(private: RSAPrivateKey) -> dict[str, Any]:
    jwk = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return {name: jwk[name] for name in ("e", "kty", "n")}


def _thumbprint(private: RSAPrivateKey) -> str:
    """The key's own name (RFC 7638)."""
    canonical = orjson.dumps(_public(private), option=orjson.OPT_SORT_KEYS)
    return base64url_encode(hashlib.sha256(canonical).digest()).decode()
