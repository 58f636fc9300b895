"""Passwords: which ones an account may not have."""

from functools import cache

from pydantic import SecretStr
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from contracts.failure import FieldError, InvalidRequest
from contracts.user import MIN_PASSWORD_BYTES
from services.user.domain.emails import normalize_email


def validate_password(email: str, password: SecretStr, pointer: str = "/password") -> None:
    """Raises `InvalidRequest` for a password that equals the e-mail or is among the most common ones."""
    normalized = normalize_email(password.get_secret_value())
    if normalized == normalize_email(email):
        raise InvalidRequest(errors=[FieldError(pointer=pointer, detail="must differ from the e-mail address")])
    if normalized in common_passwords():
        detail = "is one of the most common passwords; choose another one"
        raise InvalidRequest(errors=[FieldError(pointer=pointer, detail=detail)])


@cache
def common_passwords() -> frozenset[str]:
    """Returns the most common passwords of known breaches in lower case, from the lists that zxcvbn ships."""
    breached = FREQUENCY_LISTS["passwords"]
    return frozenset(word.casefold() for word in breached if len(word.encode()) >= MIN_PASSWORD_BYTES)
