"""Decisions about accounts and sessions: values in, values or a `Fail` out."""

import hashlib
import hmac
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import idna
import pycountry
from pydantic import SecretStr
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from contracts.failure import FieldError, InvalidRequest
from contracts.identity import Role
from contracts.ip_networks import client_network
from contracts.order import Address
from contracts.user import (
    ACCESS_TOKEN_TTL_SECONDS,
    ACCESS_TOKEN_TYPE,
    MIN_PASSWORD_BYTES,
    TOKEN_AUDIENCE,
    TOKEN_ISSUER,
    LastAdmin,
    User,
)

MAX_EMAIL_LENGTH = 254


@dataclass(frozen=True, slots=True)
class AccountRecord:
    id: UUID
    email: str = field(repr=False)
    password_hash: str = field(repr=False)
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    role: Role
    is_active: bool
    email_verified: bool
    version: int
    totp: bool
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
            totp=self.totp,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


@dataclass(frozen=True, slots=True)
class ThrottleKey:
    """Whose login was tried from where. The account need not exist, and its e-mail cannot be read from this."""

    account_digest: bytes
    address: str


@dataclass(frozen=True, slots=True)
class FailedLogin:
    """A failed login from an address: `own` when it was for the account in question; `age` in seconds."""

    same_account: bool
    age_seconds: float


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """Failures within `window` seconds after which logins are refused."""

    per_account: int
    per_address: int
    window_seconds: float


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Requests within `window` seconds after which no more are taken: of mails for one account, of any by address."""

    per_account: int
    per_address: int
    window_seconds: float


def normalize_email(email: str) -> str:
    """An e-mail as it is compared: case, width and invisible characters make no difference (like NFKC_Casefold).

    A domain is its own Punycode, which is how the mail finds it: two ways to write it are one.
    """
    folded = unicodedata.normalize("NFKC", email).casefold()
    visible = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    settled = unicodedata.normalize("NFKC", visible.strip())
    return _with_ascii_domain(settled) if settled == email else normalize_email(settled)


def _with_ascii_domain(email: str) -> str:
    name, at, domain = email.rpartition("@")
    if not at or domain.isascii():
        return email
    try:
        return name + at + idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return email


def validate_registration(email: str, password: SecretStr) -> str:
    """The key of a new account's e-mail; refuses what no mail can go to, and a password that is worth nothing."""
    key = normalize_email(email)
    if len(key) > MAX_EMAIL_LENGTH:
        raise InvalidRequest(errors=[FieldError(pointer="/email", detail="is too long when written in full")])
    if not key.rpartition("@")[2].isascii():
        raise InvalidRequest(errors=[FieldError(pointer="/email", detail="has a domain that cannot be")])
    validate_password(key, password)
    return key


def validate_password(email: str, password: SecretStr, pointer: str = "/password") -> None:
    """Refuses a password that is the e-mail, and those that everybody tries first."""
    key = normalize_email(password.get_secret_value())
    if key == normalize_email(email):
        raise InvalidRequest(errors=[FieldError(pointer=pointer, detail="is not the e-mail")])
    if key in common_passwords():
        raise InvalidRequest(
            errors=[FieldError(pointer=pointer, detail="is one of the passwords that everybody tries first")]
        )


@cache
def common_passwords() -> frozenset[str]:
    """The commonest of passwords that were stolen elsewhere, in lower case, as zxcvbn ships them."""
    stolen = FREQUENCY_LISTS["passwords"]
    return frozenset(word.casefold() for word in stolen if len(word.encode()) >= MIN_PASSWORD_BYTES)


def require_country(address: Address) -> None:
    """The pattern of a country is its contract's; whether there is such a country, ISO 3166 says."""
    if pycountry.countries.get(alpha_2=address.country) is None:
        raise InvalidRequest(errors=[FieldError(pointer="/country", detail="is no country of ISO 3166")])


def require_other_admin(account_id: UUID, admins: Sequence[UUID]) -> None:
    """Refuses to take the last one's place from somebody; `admins` are those who can sign in."""
    if list(admins) == [account_id]:
        raise LastAdmin


def throttle_key(email: str, client_ip: str, pepper: bytes) -> ThrottleKey:
    account = hmac.digest(pepper, normalize_email(email).encode(), hashlib.sha256)
    return ThrottleKey(account, client_network(client_ip))


def login_wait_seconds(failures: Sequence[FailedLogin], limits: LoginLimits) -> int | None:
    """Seconds until another login may be tried; None when it may be tried now."""
    own = [failure.age_seconds for failure in failures if failure.same_account]
    everybody = [failure.age_seconds for failure in failures]
    groups = ((own, limits.per_account), (everybody, limits.per_address))
    ages = [sorted(group)[limit - 1] for group, limit in groups if len(group) >= limit]
    return max(1, math.ceil(limits.window_seconds - min(ages))) if ages else None


def seconds_until_expired(age_seconds: float, window_seconds: float) -> int:
    """Seconds until what is `age` seconds old counts no longer."""
    return max(1, math.ceil(window_seconds - age_seconds))


def needs_totp(account: AccountRecord, *, admins_need_totp: bool) -> bool:
    """Whether an account is to have a second factor, where a setting asks for those of administrators."""
    return admins_need_totp and account.role is Role.ADMIN


def effective_role(account: AccountRecord, *, admins_need_totp: bool) -> Role:
    """What somebody may do who signs in: an administrator who owes a second factor is a customer until then."""
    owes = needs_totp(account, admins_need_totp=admins_need_totp) and not account.totp
    return Role.CUSTOMER if owes else account.role


def access_token_claims(
    account: AccountRecord, role: Role, session_id: UUID, token_id: UUID, now: datetime
) -> dict[str, Any]:
    """What an access token says."""
    issued = int(now.timestamp())
    return {
        "iss": TOKEN_ISSUER,
        "aud": TOKEN_AUDIENCE,
        "sub": str(account.id),
        "role": role,
        "sid": str(session_id),
        "jti": str(token_id),
        "typ": ACCESS_TOKEN_TYPE,
        "iat": issued,
        "exp": issued + ACCESS_TOKEN_TTL_SECONDS,
    }


def hash_token(token: str) -> bytes:
    """What is kept of a refresh token or an API key: 256 random bits, so that a plain hash gives nothing away."""
    return hashlib.sha256(token.encode()).digest()
