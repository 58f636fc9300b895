"""Authenticator and recovery codes: format, validity, and the wait after wrong ones."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pyotp
import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from contracts.identity import Role
from services.user.domain.accounts import effective_role
from services.user.domain.second_factor import MAX_WAIT_SECONDS, SecondFactor, VerifiedCode, parse_code
from services.user.security.totp import TotpCodes, new_recovery_codes
from tests.services.user.test_domain import build_account

CODES = TotpCodes(b"k" * 32, b"r" * 32, "Souk")
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
NOW = 1_700_000_000.0
STEP = int(NOW) // 30


def build_factor(account_id: UUID, sealed: bytes, **changed: Any) -> SecondFactor:
    fields = {
        "last_step": 0,
        "wrong_codes": 0,
        "seconds_since_wrong": 0.0,
        "age_seconds": 0.0,
        "unix_time": NOW,
        **changed,
    }
    return SecondFactor(account_id, sealed, **fields)


@pytest.fixture
def enrolled() -> tuple[pyotp.TOTP, UUID, bytes]:
    """Returns an authenticator, the account it belongs to, and its encrypted secret."""
    account_id = uuid4()
    secret, sealed = CODES.new_secret(account_id)
    return pyotp.TOTP(secret), account_id, sealed


@pytest.mark.parametrize(
    ("unix_time", "code"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (2000000000, "279037"), (20000000000, "353130")],
)
def test_codes_match_rfc_6238(unix_time: int, code: str) -> None:
    assert pyotp.TOTP(RFC_SECRET).at(unix_time) == code


@pytest.mark.parametrize(("offset", "is_valid"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_clock_may_be_one_step_off(enrolled: tuple[pyotp.TOTP, UUID, bytes], offset: int, *, is_valid: bool) -> None:
    authenticator, account_id, sealed = enrolled
    step = CODES.matching_step(
        build_factor(account_id, sealed), parse_code(authenticator.at(int(NOW), counter_offset=offset))
    )
    assert step == (STEP + offset if is_valid else None)


@pytest.mark.parametrize(("last_step", "is_valid"), [(STEP - 1, True), (STEP, False), (STEP + 1, False)])
def test_used_and_earlier_steps_are_refused(
    enrolled: tuple[pyotp.TOTP, UUID, bytes], last_step: int, *, is_valid: bool
) -> None:
    authenticator, account_id, sealed = enrolled
    factor = build_factor(account_id, sealed, last_step=last_step)
    assert (CODES.matching_step(factor, parse_code(authenticator.at(int(NOW)))) == STEP) is is_valid


@pytest.mark.parametrize("pattern", ["{0}{1}", "{0} {1}", " {0}-{1} "])
def test_code_may_be_typed_with_separators(enrolled: tuple[pyotp.TOTP, UUID, bytes], pattern: str) -> None:
    authenticator, account_id, sealed = enrolled
    code = authenticator.at(int(NOW))
    entered = parse_code(SecretStr(pattern.format(code[:3], code[3:])))
    assert CODES.matching_step(build_factor(account_id, sealed), entered) == STEP


@pytest.mark.parametrize("zero", ["\u0660", "\u0966", "\uff10", "\U0001d7ce"])
def test_digits_of_other_scripts_are_refused(enrolled: tuple[pyotp.TOTP, UUID, bytes], zero: str) -> None:
    authenticator, account_id, sealed = enrolled
    code = "".join(chr(ord(zero) + int(digit)) for digit in authenticator.at(int(NOW)))
    assert CODES.matching_step(build_factor(account_id, sealed), parse_code(code)) is None


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "12 34", "0x1234", "-123456\n", "1e5", "1.2345"])
def test_invalid_codes_are_refused(enrolled: tuple[pyotp.TOTP, UUID, bytes], code: str) -> None:
    _, account_id, sealed = enrolled
    assert CODES.matching_step(build_factor(account_id, sealed), parse_code(code)) is None


@given(st.text(max_size=128))
def test_any_text_can_be_parsed(code: str) -> None:
    entered = parse_code(code)
    assert not (entered.is_authenticator_code and entered.is_recovery_code)
    assert len(CODES.recovery_code_digest(uuid4(), entered)) == 32


def test_secret_is_encrypted_for_one_account_under_one_key(enrolled: tuple[pyotp.TOTP, UUID, bytes]) -> None:
    authenticator, account_id, sealed = enrolled
    assert authenticator.secret.encode() not in sealed
    entered = parse_code(authenticator.at(int(NOW)))
    with pytest.raises(InvalidTag):
        CODES.matching_step(build_factor(uuid4(), sealed), entered)
    with pytest.raises(InvalidTag):
        TotpCodes(b"x" * 32, b"r" * 32, "Souk").matching_step(build_factor(account_id, sealed), entered)
    assert len(authenticator.byte_secret()) == 20


def test_provisioning_uri_names_account_and_issuer() -> None:
    uri = CODES.provisioning_uri(RFC_SECRET, "ada+lamp@example.com")
    parsed = pyotp.parse_uri(uri)
    assert isinstance(parsed, pyotp.TOTP)
    assert (parsed.secret, parsed.name, parsed.issuer) == (RFC_SECRET, "ada+lamp@example.com", "Souk")
    assert (parsed.digits, parsed.interval) == (6, 30)


def test_recovery_codes_are_recognized_in_any_spelling() -> None:
    codes, account_id = new_recovery_codes(), uuid4()
    assert len(set(codes)) == 10
    for code in codes:
        digest = CODES.recovery_code_digest(account_id, parse_code(code))
        for spelling in (code.lower(), code.replace("-", ""), code.replace("-", " ")):
            entered = parse_code(spelling)
            assert entered.is_recovery_code
            assert CODES.recovery_code_digest(account_id, entered) == digest
        assert CODES.recovery_code_digest(uuid4(), parse_code(code)) != digest


@pytest.mark.parametrize(
    ("wrong_codes", "seconds_since_wrong", "seconds"),
    [(0, 0, None), (4, 0, None), (5, 0, 30), (5, 29.5, 1), (5, 30, None), (6, 0, 60), (12, 0, 3840), (15, 0, 21600)],
)
def test_wait_grows_with_wrong_codes(wrong_codes: int, seconds_since_wrong: float, seconds: int | None) -> None:
    factor = build_factor(uuid4(), b"", wrong_codes=wrong_codes, seconds_since_wrong=float(seconds_since_wrong))
    assert factor.retry_after_seconds == seconds


@given(st.integers(min_value=0, max_value=2**31 - 1))
def test_wait_is_bounded(wrong_codes: int) -> None:
    assert (build_factor(uuid4(), b"", wrong_codes=wrong_codes).retry_after_seconds or 0) <= MAX_WAIT_SECONDS
    factor = build_factor(uuid4(), b"", wrong_codes=wrong_codes, seconds_since_wrong=float(MAX_WAIT_SECONDS))
    assert factor.retry_after_seconds is None


def test_repr_hides_secrets(enrolled: tuple[pyotp.TOTP, UUID, bytes]) -> None:
    authenticator, account_id, sealed = enrolled
    shown = repr(
        (
            CODES,
            build_factor(account_id, sealed),
            parse_code("123456"),
            VerifiedCode(sealed, recovery_digest=b"digest"),
        )
    )
    for secret in (authenticator.secret, "123456", "digest", "kkkk", "rrrr", repr(sealed)):
        assert secret not in shown


@pytest.mark.parametrize(
    ("role", "on", "required", "granted"),
    [
        (Role.ADMIN, False, True, Role.CUSTOMER),
        (Role.ADMIN, True, True, Role.ADMIN),
        (Role.ADMIN, False, False, Role.ADMIN),
        (Role.CUSTOMER, True, True, Role.CUSTOMER),
        (Role.CUSTOMER, False, True, Role.CUSTOMER),
    ],
)
def test_administrator_without_a_required_second_factor_acts_as_customer(
    role: Role, granted: Role, *, on: bool, required: bool
) -> None:
    account = replace(build_account(), role=role, totp=on)
    assert effective_role(account, admins_need_totp=required) is granted
