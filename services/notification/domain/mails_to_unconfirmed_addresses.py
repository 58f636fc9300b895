"""Mails to addresses that were never confirmed: how many may be sent, and which addresses are one mailbox."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.email_addresses import clean_email, to_ascii_domain_email
from services.notification.domain.deliveries import MailDelivery

WINDOW_SECONDS = 24 * 3600.0
"""How long a mail counts."""


@dataclass(frozen=True, slots=True)
class UnconfirmedMailLimits:
    """How many mails may begin with one recipient. Orders and accounts count apart, so neither uses up the other.

    A purchase sends about five mails. Once its first one is sent, the others are never refused.
    """

    per_hour: int
    per_day: int
    digest_key: bytes = field(repr=False, default=b"")
    """Key of the digests under which recipients are counted."""


@dataclass(frozen=True, slots=True)
class UnconfirmedMail:
    """A mail to a recipient who never confirmed the address, counted under `recipient` and what it is about."""

    delivery: MailDelivery
    recipient: bytes = field(repr=False)
    about: str


def split_by_recipient(mails: Sequence[UnconfirmedMail]) -> list[list[UnconfirmedMail]]:
    """Splits mails so that each part has a recipient once, in order: the second mail depends on the first one's count.

    Mails about orders and about the account count apart, but stay in one order all the same.
    """
    waves: list[list[UnconfirmedMail]] = []
    seen: Counter[bytes] = Counter()
    for mail in mails:
        if seen[mail.recipient] == len(waves):
            waves.append([])
        waves[seen[mail.recipient]].append(mail)
        seen[mail.recipient] += 1
    return waves


def recipient_digest(email: str, key: bytes) -> bytes:
    """Returns the digest of the mailbox: case, dots and what follows a `+` make no difference to most servers."""
    name, _, domain = to_ascii_domain_email(clean_email(email)).rpartition("@")
    mailbox = name.partition("+")[0].replace(".", "") or name
    return hmac.digest(key, f"{mailbox}@{domain}".casefold().encode(), hashlib.sha256)


def subject_of(delivery: MailDelivery) -> str:
    """Tells what a mail is about: an `order` or an `account`."""
    return "order" if delivery.facts is not None else "account"
