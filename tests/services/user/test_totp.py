"""Codes: what they are, how long they are good, and how many can be guessed."""

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
from services.user.domain import accounts as domain
from services.user.security import totp
from services.user.security.totp import SecondFactor, TotpCodes
from tests.services.user.test_domain import an_account

MAKER = TotpCodes(b"k" * 32, b"r" * 32, "Souk")
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
NOW = 1_700_000_000.0
STEP = int(NOW) // 30


def a_factor(account_id: UUID, kept: bytes, **changed: Any) -> SecondFactor:
    said = {"last_step": 0, "wrong": 0, "wrong_age": 0.0, "age": 0.0, "moment": NOW, **changed}
    return SecondFactor(account_id, kept, **said)


@pytest.fixture
def known() -> tuple[pyotp.TOTP, UUID, bytes]:
    """An authenticator, whose it is, and what is kept of it."""
    account_id = uuid4()
    secret, kept = MAKER.new_secret(account_id)
    return pyotp.TOTP(secret), account_id, kept


@pytest.mark.parametrize(
    ("moment", "code"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (2000000000, "279037"), (20000000000, "353130")],
)
def test_codes_are_those_of_rfc_6238(moment: int, code: str) -> None:
    assert pyotp.TOTP(RFC_SECRET).at(moment) == code


@pytest.mark.parametrize(("off", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_a_step_off(known: tuple[pyotp.TOTP, UUID, bytes], off: int, *, good: bool) -> None:
    authenticator, account_id, kept = known
    step = MAKER.matching_step(
        a_factor(account_id, kept), totp.parse_code(authenticator.at(int(NOW), counter_offset=off))
    )
    assert step == (STEP + off if good else None)


@pytest.mark.parametrize(("last", "good"), [(STEP - 1, True), (STEP, False), (STEP + 1, False)])
def test_no_step_is_taken_twice_and_none_before_it(
    known: tuple[pyotp.TOTP, UUID, bytes], last: int, *, good: bool
) -> None:
    authenticator, account_id, kept = known
    factor = a_factor(account_id, kept, last_step=last)
    assert (MAKER.matching_step(factor, totp.parse_code(authenticator.at(int(NOW)))) == STEP) is good


@pytest.mark.parametrize("spelled", ["{0}{1}", "{0} {1}", " {0}-{1} "])
def test_a_code_may_be_typed_as_it_is_shown(known: tuple[pyotp.TOTP, UUID, bytes], spelled: str) -> None:
    authenticator, account_id, kept = known
    code = authenticator.at(int(NOW))
    typed = totp.parse_code(SecretStr(spelled.format(code[:3], code[3:])))
    assert MAKER.matching_step(a_factor(account_id, kept), typed) == STEP


@pytest.mark.parametrize("zero", ["\u0660", "\u0966", "\uff10", "\U0001d7ce"])
def test_digits_of_other_scripts_are_none(known: tuple[pyotp.TOTP, UUID, bytes], zero: str) -> None:
    authenticator, account_id, kept = known
    code = "".join(chr(ord(zero) + int(digit)) for digit in authenticator.at(int(NOW)))
    assert MAKER.matching_step(a_factor(account_id, kept), totp.parse_code(code)) is None


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "12 34", "0x1234", "-123456\n", "1e5", "1.2345"])
def test_what_is_no_code_is_none(known: tuple[pyotp.TOTP, UUID, bytes], code: str) -> None:
    _, account_id, kept = known
    assert MAKER.matching_step(a_factor(account_id, kept), totp.parse_code(code)) is None


@given(st.text(max_size=128))
def test_whatever_is_typed_can_be_read(code: str) -> None:
    typed = totp.parse_code(code)
    assert not (typed.is_digits and typed.is_recovery)
    assert len(MAKER.recovery_code_digest(uuid4(), typed)) == 32


def test_a_secret_is_sealed_for_one_account_under_one_key(known: tuple[pyotp.TOTP, UUID, bytes]) -> None:
    authenticator, account_id, kept = known
    assert authenticator.secret.encode() not in kept
    typed = totp.parse_code(authenticator.at(int(NOW)))
    with pytest.raises(InvalidTag):
        MAKER.matching_step(a_factor(uuid4(), kept), typed)
    with pytest.raises(InvalidTag):
        TotpCodes(b"x" * 32, b"r" * 32, "Souk").matching_step(a_factor(account_id, kept), typed)
    assert len(authenticator.byte_secret()) == 20


def test_an_authenticator_is_told_whose_it_is() -> None:
    uri = MAKER.provisioning_uri(RFC_SECRET, "ada+lamp@example.com")
    read = pyotp.parse_uri(uri)
    assert isinstance(read, pyotp.TOTP)
    assert (read.secret, read.name, read.issuer) == (RFC_SECRET, "ada+lamp@example.com", "Souk")
    assert (read.digits, read.interval) == (6, 30)


def test_recovery_codes_are_many_long_and_known_however_they_are_typed() -> None:
    codes, account_id = totp.new_recovery_codes(), uuid4()
    assert len(set(codes)) == 10
    for code in codes:
        digest = MAKER.recovery_code_digest(account_id, totp.parse_code(code))
        for spelled in (code.lower(), code.replace("-", ""), code.replace("-", " ")):
            typed = totp.parse_code(spelled)
            assert typed.is_recovery
            assert MAKER.recovery_code_digest(account_id, typed) == digest
        assert MAKER.recovery_code_digest(uuid4(), totp.parse_code(code)) != digest


@pytest.mark.parametrize(
    ("wrong", "age", "seconds"),
    [(0, 0, None), (4, 0, None), (5, 0, 30), (5, 29.5, 1), (5, 30, None), (6, 0, 60), (12, 0, 3840), (15, 0, 21600)],
)
def test_wrong_codes_wait_longer_and_longer(wrong: int, age: float, seconds: int | None) -> None:
    assert a_factor(uuid4(), b"", wrong=wrong, wrong_age=float(age)).retry_after_seconds == seconds


@given(st.integers(min_value=0, max_value=2**31 - 1))
def test_nobody_waits_for_ever(wrong: int) -> None:
    assert (a_factor(uuid4(), b"", wrong=wrong).retry_after_seconds or 0) <= totp.MAX_WAIT_SECONDS
    assert a_factor(uuid4(), b"", wrong=wrong, wrong_age=float(totp.MAX_WAIT_SECONDS)).retry_after_seconds is None


def test_nothing_secret_is_shown(known: tuple[pyotp.TOTP, UUID, bytes]) -> None:
    authenticator, account_id, kept = known
    shown = repr(
        (
            MAKER,
            a_factor(account_id, kept),
            totp.parse_code("123456"),
            totp.VerifiedCode(kept, recovery_digest=b"digest"),
        )
    )
    for secret in (authenticator.secret, "123456", "digest", "kkkk", "rrrr", repr(kept)):
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
def test_an_administrator_who_owes_a_second_factor_is_a_customer(
    role: Role, granted: Role, *, on: bool, required: bool
) -> None:
    account = replace(an_account(), role=role, totp=on)
    assert domain.effective_role(account, admins_need_totp=required) is granted
