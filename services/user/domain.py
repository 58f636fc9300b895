"""Decisions about accounts and sessions: values in, values or a `Fail` out."""

import hashlib
import hmac
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from contracts.failure import FieldError, Invalid
from contracts.identity import Role
from contracts.user import ACCESS_TTL, ACCESS_TYPE, AUDIENCE, ISSUER, User

MAX_EMAIL = 254
NEIGHBOURHOOD = 64
"""Bits of an IPv6 address that name one customer's network; the rest is free for them to choose."""


@dataclass(frozen=True, slots=True)
class Account:
    id: UUID
    email: str = field(repr=False)
    password_hash: str = field(repr=False)
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    role: Role
    is_active: bool
    email_verified: bool
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def user(self) -> User:
        return User(
            id=self.id,
            email=self.email,
            first_name=self.first_name,
            last_name=self.last_name,
            role=self.role,
            is_active=self.is_active,
            email_verified=self.email_verified,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """Whose login was tried from where. The account need not exist, and its e-mail cannot be read from this."""

    account: bytes
    address: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed login from an address: `own` when it was for the account in question; `age` in seconds."""

    own: bool
    age: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Failures within `window` seconds after which logins are refused."""

    of_account: int
    of_address: int
    window: float


def email_key(email: str) -> str:
    """An e-mail as it is compared: case, width and invisible characters make no difference (like NFKC_Casefold)."""
    folded = unicodedata.normalize("NFKC", email).casefold()
    visible = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    settled = unicodedata.normalize("NFKC", visible.strip())
    return settled if settled == email else email_key(settled)


def admit(email: str, password: SecretStr) -> str:
    """The key of a new account's e-mail; refuses a password that is the e-mail itself."""
    key = email_key(email)
    if len(key) > MAX_EMAIL:
        raise Invalid(errors=[FieldError(pointer="/email", detail="is too long when written in full")])
    if email_key(password.get_secret_value()) == key:
        raise Invalid(errors=[FieldError(pointer="/password", detail="is not the e-mail")])
    return key


def attempt(email: str, client: str, pepper: bytes) -> Attempt:
    account = hmac.digest(pepper, email_key(email).encode(), hashlib.sha256)
    return Attempt(account, neighbourhood(client))


def neighbourhood(client: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), NEIGHBOURHOOD), strict=False))


def wait(failures: Sequence[Failure], limits: Limits) -> int | None:
    """Seconds until another login may be tried; None when it may be tried now."""
    own = [failure.age for failure in failures if failure.own]
    everybody = [failure.age for failure in failures]
    groups = ((own, limits.of_account), (everybody, limits.of_address))
    ages = [sorted(group)[limit - 1] for group, limit in groups if len(group) >= limit]
    return max(1, math.ceil(limits.window - min(ages))) if ages else None


def claims(account: Account, session_id: UUID, token_id: UUID, now: datetime) -> dict[str, Any]:
    """What an access token says."""
    issued = int(now.timestamp())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(account.id),
        "role": account.role,
        "sid": str(session_id),
        "jti": str(token_id),
        "typ": ACCESS_TYPE,
        "iat": issued,
        "exp": issued + ACCESS_TTL,
    }


def digest(token: str) -> bytes:
    """What is kept of a refresh token: it has 256 random bits, so that a plain hash gives nothing away."""
    return hashlib.sha256(token.encode()).digest()
