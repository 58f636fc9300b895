"""E-mail addresses: which spellings are the same address, and which can receive mail."""

import unicodedata

from contracts.email_addresses import (
    MAX_EMAIL_LENGTH,
    UNICODE_NAME_PROBLEM,
    find_email_problem,
    has_unicode_name,
    with_ascii_domain,
)
from contracts.failure import FieldError, InvalidRequest


def normalize_email(email: str) -> str:
    """Returns the form in which e-mails are compared.

    Case, character width and invisible characters make no difference (like NFKC_Casefold). The domain becomes
    Punycode, as mail servers look it up, so that both spellings of an international domain are one account.
    """
    folded = unicodedata.normalize("NFKC", email).casefold()
    visible = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    normalized = unicodedata.normalize("NFKC", visible.strip())
    return with_ascii_domain(normalized) if normalized == email else normalize_email(normalized)


def validate_email(email: str, *, smtp_utf8: bool = False) -> str:
    """Returns the normalized e-mail; raises `InvalidRequest` when no mail can reach it.

    `smtp_utf8` tells whether the mail server can mail names beyond ASCII.
    """
    problem = find_email_problem(email)
    if not problem and has_unicode_name(email) and not smtp_utf8:
        problem = UNICODE_NAME_PROBLEM
    normalized = normalize_email(email)
    if not problem and len(normalized) > MAX_EMAIL_LENGTH:
        problem = f"An e-mail address must have at most {MAX_EMAIL_LENGTH} characters after normalization"
    if problem:
        raise InvalidRequest(errors=[FieldError(pointer="/email", detail=problem)])
    return normalized
