"""The one rule of which e-mail addresses the shop accepts, stores and sends mail to.

It is the address of RFC 5321 without quoted names and without IP addresses: `name@domain`. The name is made of
characters that need no quotes, with single dots between them. The domain is one that the internet can look up; letters
beyond ASCII become Punycode. A name beyond ASCII can be mailed only by servers with SMTPUTF8 (RFC 6531).
"""

import re
import unicodedata

import idna

MAX_EMAIL_LENGTH = 254
MAX_NAME_BYTES = 64
MAX_DOMAIN_LENGTH = 253
UNICODE_NAME_PROBLEM = "The part before the @ must be ASCII; this shop's mail server accepts no other letters there"
_NAME_CHARACTERS = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_NAME = re.compile(rf"{_NAME_CHARACTERS}(?:\.{_NAME_CHARACTERS})*")
_DOMAIN_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_DOMAIN_LABEL}\.)+(?=[^.]*[A-Za-z]){_DOMAIN_LABEL}")


def find_email_problem(email: str) -> str | None:
    """Returns what is wrong with an e-mail address, as one sentence, or None if mail can be sent to it."""
    name, at, domain = email.rpartition("@")
    if not at or not _NAME.fullmatch(name) or not name.isprintable():
        return (
            "An e-mail address needs a name of letters, digits and !#$%&'*+/=?^_`{|}~- before the @, "
            "with single dots only between them"
        )
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"The part before the @ must have at most {MAX_NAME_BYTES} bytes"
    ascii_domain = to_ascii_domain(domain)
    if ascii_domain is None or not _DOMAIN.fullmatch(ascii_domain):
        return "An e-mail address needs a domain that exists on the internet after the @, such as example.com"
    if len(ascii_domain) > MAX_DOMAIN_LENGTH or len(f"{name}@{ascii_domain}".encode()) > MAX_EMAIL_LENGTH:
        return f"An e-mail address must have at most {MAX_EMAIL_LENGTH} bytes"
    return None


def clean_email(email: str) -> str:
    """Returns the address without invisible characters and with plain letters for wide ones, as its owner means it."""
    visible = "".join(character for character in email if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFKC", visible)


def has_unicode_name(email: str) -> bool:
    """Tells whether the part before the @ needs a mail server with SMTPUTF8."""
    return not email.rpartition("@")[0].isascii()


def to_ascii_domain(domain: str) -> str | None:
    """Returns the domain as mail servers look it up, with Punycode for letters beyond ASCII; None if it has none."""
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return None


def with_ascii_domain(email: str) -> str:
    """Returns the address with its domain as mail servers look it up; unchanged if it has no such domain."""
    name, at, domain = email.rpartition("@")
    ascii_domain = to_ascii_domain(domain) if at else None
    return email if ascii_domain is None else name + at + ascii_domain


def guest_order_spellings(email: str) -> list[str]:
    """Returns the spellings, in lower case, under which guests' orders hold this mailbox.

    The form in which accounts' e-mails are compared is not one of them: it may be the mailbox of another person, as
    `straße.de` and `strasse.de` are two domains.
    """
    lower = clean_email(email).lower()
    return sorted({lower, with_ascii_domain(lower)})


def to_ascii_domain_email(email: str) -> str:
    """Returns the address with its domain as mail servers look it up; the address must follow the rule."""
    name, _, domain = email.rpartition("@")
    return f"{name}@{to_ascii_domain(domain)}"
