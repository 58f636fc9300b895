"""Thousands of signed-in customers in a second: accounts written with SQL, and tokens signed with the shop's own key.

Registering one takes 200 ms of bcrypt, so a run could only reuse a few, whose carts and order lists grow and whose
tokens the edge knows.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import bcrypt
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from contracts.identity import Role
from contracts.user import ACCESS_TOKEN_TYPE, TOKEN_ALGORITHM, TOKEN_AUDIENCE, TOKEN_ISSUER
from infra.foundation.ids import new_id
from infra.ops.devstack.secret_files import KEYS_SECRET
from infra.ops.devstack.stack import Stack
from tests.bench.vocabulary import Vocabulary

PASSWORD = "correct horse battery"
BCRYPT_COST = 12
TOKEN_SECONDS = 3600
"""Longer than a shop's tokens are valid, so that a long run signs in only once."""


@dataclass(frozen=True, slots=True)
class BenchCustomer:
    """A customer or administrator who is signed in."""

    email: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Signs access tokens with the shop's newest key."""

    kid: str
    private: RSAPrivateKey

    def sign_in(self, user_id: UUID, role: Role = Role.CUSTOMER, email: str = "") -> BenchCustomer:
        """Returns the customer with a token."""
        at = int(time.time())
        claims = {
            "iss": TOKEN_ISSUER,
            "aud": TOKEN_AUDIENCE,
            "sub": str(user_id),
            "role": role,
            "sid": str(new_id()),
            "jti": str(new_id()),
            "typ": ACCESS_TOKEN_TYPE,
            "iat": at,
            "exp": at + TOKEN_SECONDS,
        }
        return BenchCustomer(email, jwt.encode(claims, self.private, TOKEN_ALGORITHM, headers={"kid": self.kid}))


async def open_signer(stack: Stack) -> TokenSigner:
    """Reads the shop's signing key."""
    async with _user_database(stack) as connection:
        row = await connection.fetchrow("SELECT kid, sealed FROM signing_key ORDER BY created_at DESC LIMIT 1")
    assert row is not None, "the shop has a signing key once it is ready"
    private = load_pem_private_key(row["sealed"].encode(), stack.secrets.get_or_create("user", KEYS_SECRET).encode())
    assert isinstance(private, RSAPrivateKey)
    return TokenSigner(row["kid"], private)


async def create_customers(stack: Stack, words: Vocabulary, count: int) -> Sequence[BenchCustomer]:
    """Creates accounts with a confirmed e-mail, as the shop mails other accounts only a few times an hour."""
    password_hash = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(BCRYPT_COST)).decode()
    columns = ("id", "email", "email_key", "password_hash", "first_name", "last_name", "role", "email_verified")
    rows = []
    for _ in range(count):
        email, (first_name, last_name) = f"{new_id().hex}@example.com", words.customer_name()
        rows.append((new_id(), email, email, password_hash, first_name, last_name, Role.CUSTOMER, True))
    async with _user_database(stack) as connection:
        await connection.copy_records_to_table("account", records=rows, columns=columns)
    signer = await open_signer(stack)
    return [signer.sign_in(row[0], email=row[1]) for row in rows]


@asynccontextmanager
async def _user_database(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(stack.dsn("user"))
    try:
        yield connection
    finally:
        await connection.close()
