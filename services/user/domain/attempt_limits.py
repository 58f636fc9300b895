"""Throttling of logins and other requests: what is counted, the limits, and how long a client must wait."""

import hashlib
import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.client_networks import client_network
from services.user.domain.emails import normalize_email


@dataclass(frozen=True, slots=True)
class ThrottleKey:
    """The account and the network that a request counts against.

    The account need not exist. Its e-mail cannot be read from the keyed digest.
    """

    account_digest: bytes
    address: str


@dataclass(frozen=True, slots=True)
class FailedLogin:
    """A failed login from an address; `same_account` is true when it was for the account in question."""

    same_account: bool
    age_seconds: float


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """How many failed logins within the window stop further logins from an address."""

    per_account: int
    per_address: int
    window_seconds: float


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How many requests within the window are allowed: mails for one account, and any requests from one address."""

    per_account: int
    per_address: int
    window_seconds: float


def throttle_key(email: str, client_ip: str, pepper: bytes) -> ThrottleKey:
    """Returns the key under which requests that name this e-mail from this client are counted."""
    account_digest = hmac.digest(pepper, normalize_email(email).encode(), hashlib.sha256)
    return ThrottleKey(account_digest, client_network(client_ip))


def login_wait_seconds(failures: Sequence[FailedLogin], limits: LoginLimits) -> int | None:
    """Returns the seconds until the next login may be tried, or None when it may be tried now."""
    same_account = [failure.age_seconds for failure in failures if failure.same_account]
    all_accounts = [failure.age_seconds for failure in failures]
    groups = ((same_account, limits.per_account), (all_accounts, limits.per_address))
    ages = [sorted(group)[limit - 1] for group, limit in groups if len(group) >= limit]
    return seconds_until_expired(min(ages), limits.window_seconds) if ages else None


def seconds_until_expired(age_seconds: float, window_seconds: float) -> int:
    """Returns the seconds until something of this age leaves the window; at least 1."""
    return max(1, math.ceil(window_seconds - age_seconds))
