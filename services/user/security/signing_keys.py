"""The keys that sign access tokens: encrypted in the database, decrypted in memory.

The first process that finds no key makes one, and the others load it. A verifier that meets an unknown `kid` requests
the key set again. A rotation adds a key, which is published at once and signs a while later. Older keys stay published
for as long as a token of theirs is valid, so a rotation signs no client out.
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
from infra.messaging.rpc_client import Request
from services.user.store import signing_keys
from services.user.store.signing_keys import SigningKeyRecord

KEY_SIZE_BITS = 2048
PUBLIC_EXPONENT = 65537
RELOAD_SECONDS = 60.0
"""Interval at which a process loads new keys and drops retired ones."""
ACTIVATION_DELAY_SECONDS = 90.0
"""Age at which a new key starts to sign. Every process publishes it by then, so that verifiers find its `kid`."""
RETIREMENT_SECONDS = ACTIVATION_DELAY_SECONDS + RELOAD_SECONDS + ACCESS_TOKEN_TTL_SECONDS + 60
"""Seconds until a replaced key is dropped. The last token that it signed has expired by then."""


class WrongKeysSecret(Exception):  # noqa: N818 - it says what is wrong, and operators read it
    """SOUK_KEYS_SECRET cannot decrypt the signing keys in the database. Set the secret they were created with."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A decrypted key."""

    kid: str
    private: RSAPrivateKey = field(repr=False)

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half as a JSON Web Key (RFC 7517)."""
        return {**_public_parameters(self.private), "kid": self.kid, "use": "sig", "alg": TOKEN_ALGORITHM}

    def sign(self, claims: dict[str, Any]) -> str:
        """Returns the signed token."""
        return jwt.encode(claims, self.private, algorithm=TOKEN_ALGORITHM, headers={"kid": self.kid})


class SigningKeys:
    """The keys in use, kept in step with the database by `reload`."""

    def __init__(self, db: Database, secret: SecretStr) -> None:
        self._db = db
        self._secret = secret.get_secret_value().encode()
        self._keys: tuple[SigningKey, ...] = ()
        self._active_kid = ""

    async def all(self) -> tuple[SigningKey, ...]:
        """Returns the published keys, newest first; there is at least one."""
        if not self._keys:
            await self.reload()
        return self._keys

    async def sign(self, claims: dict[str, Any]) -> str:
        """Returns a signed access token.

        It signs on the event loop: a signature takes 0.25 ms, less than handing the work to a thread.
        """
        keys = await self.all()
        return next((key for key in keys if key.kid == self._active_kid), keys[0]).sign(claims)

    async def rotate(self, request: Request[Empty]) -> tuple[str, list[str]]:
        """Adds a key; returns its `kid` and those of the keys that it replaces."""
        new_key = await asyncio.to_thread(self._generate)
        async with self._db.transaction() as tx:
            tx.audit_action(request)
            await signing_keys.lock_keys(tx.connection)
            await signing_keys.add(tx.connection, new_key)
            replaced = await signing_keys.retire_others(tx.connection, new_key.kid, RETIREMENT_SECONDS)
        await self.reload()
        return new_key.kid, replaced

    async def reload(self) -> bool:
        """Loads new keys and drops retired ones; returns False, since there is never more to do."""
        records = await self._load() or await self._create_first()
        known = {key.kid: key for key in self._keys}
        new = [await asyncio.to_thread(self._decrypt, record) for record in records if record.kid not in known]
        known |= {key.kid: key for key in new}
        self._keys = tuple(known[record.kid] for record in records)
        self._active_kid = next((record.kid for record in records if record.can_sign), records[-1].kid)
        return False

    async def _load(self) -> list[SigningKeyRecord]:
        async with self._db.connection() as connection:
            return await signing_keys.published(connection, ACTIVATION_DELAY_SECONDS)

    async def _create_first(self) -> list[SigningKeyRecord]:
        new_key = await asyncio.to_thread(self._generate)
        async with self._db.transaction() as tx:
            await signing_keys.lock_keys(tx.connection)
            await signing_keys.add_if_none(tx.connection, new_key)
        return await self._load()

    def _generate(self) -> SigningKeyRecord:
        private = generate_private_key(PUBLIC_EXPONENT, KEY_SIZE_BITS)
        sealed = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(self._secret))
        return SigningKeyRecord(_thumbprint(private), sealed.decode())

    def _decrypt(self, record: SigningKeyRecord) -> SigningKey:
        try:
            private = load_pem_private_key(record.sealed.encode(), self._secret)
        except ValueError as error:
            raise WrongKeysSecret from error
        assert isinstance(private, RSAPrivateKey), f"the signing key {record.kid} is not an RSA key"
        return SigningKey(record.kid, private)


def _public_parameters(private: RSAPrivateKey) -> dict[str, Any]:
    jwk = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return {name: jwk[name] for name in ("e", "kty", "n")}


def _thumbprint(private: RSAPrivateKey) -> str:
    """Returns the key's JWK thumbprint (RFC 7638), which is its `kid`."""
    canonical = orjson.dumps(_public_parameters(private), option=orjson.OPT_SORT_KEYS)
    return base64url_encode(hashlib.sha256(canonical).digest()).decode()
