"""E-mail addresses: which spellings are the same address, and which can receive mail."""

import unicodedata

import idna

from contracts.failure import FieldError, InvalidRequest

MAX_EMAIL_LENGTH = 254


def normalize_email(email: str) -> str:
    """Returns the form in which e-mails are compared.

    Case, character width and invisible characters make no difference (like NFKC_Casefold). The domain becomes
    Punycode, as mail servers look it up, so that both spellings of an international domain are one account.
    """
    folded = unicodedata.normalize("NFKC", email).casefold()
    visible = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    normalized = unicodedata.normalize("NFKC", visible.strip())
    return _with_ascii_domain(normalized) if normalized == email else normalize_email(normalized)


def _with_ascii_domain(email: str) -> str:
    name, at, domain = email.rpartition("@")
    if not at or domain.isascii():
        return email
    try:
        return name + at + idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return email


def validate_email(email: str) -> str:
    """Returns the normalized e-mail; raises `InvalidRequest` when no mail can reach it."""
    normalized = normalize_email(email)
    if len(normalized) > MAX_EMAIL_LENGTH:
        detail = f"is longer than {MAX_EMAIL_LENGTH} characters after normalization"
        raise InvalidRequest(errors=[FieldError(pointer="/email", detail=detail)])
    if not normalized.rpartition("@")[2].isascii():
        raise InvalidRequest(errors=[FieldError(pointer="/email", detail="has a domain that cannot exist")])
    return normalized
