"""Decisions of the user service: e-mails, passwords, throttling, tokens and accounts."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from contracts.email_addresses import UNICODE_NAME_PROBLEM
from contracts.failure import InvalidRequest
from contracts.identity import Role
from contracts.user import ACCESS_TOKEN_TTL_SECONDS, TOKEN_AUDIENCE, TOKEN_ISSUER, LastAdmin
from services.user.domain.accounts import AccountRecord, require_other_admin
from services.user.domain.attempt_limits import (
    FailedLogin,
    LoginLimits,
    login_wait_seconds,
    seconds_until_expired,
    throttle_key,
)
from services.user.domain.emails import normalize_email, validate_email
from services.user.domain.passwords import common_passwords, validate_password
from services.user.domain.tokens import access_token_claims

LIMITS = LoginLimits(per_account=5, per_address=50, window_seconds=900.0)
PEPPER = b"pepper"

ages = st.floats(min_value=0, max_value=899.9)
failures = st.lists(st.builds(FailedLogin, same_account=st.booleans(), age_seconds=ages), max_size=80)


@pytest.mark.parametrize(
    "other",
    [
        "ADA@EXAMPLE.COM",
        "Ada@Example.com",
        " ada@example.com",
        "\uff41\uff44\uff41@example.com",
        "ada@ex\u00adample.com",
        "a\u200bda@example.com",
        "ada@example.com\u200f",
    ],
)
def test_equivalent_spellings_are_normalized_alike(other: str) -> None:
    assert normalize_email(other) == "ada@example.com"


@pytest.mark.parametrize(
    ("one", "other"),
    [("kelvin@example.com", "\u212aelvin@example.com"), ("straße@example.com", "STRASSE@example.com")],
)
def test_characters_with_one_case_folding_are_normalized_alike(one: str, other: str) -> None:
    assert normalize_email(one) == normalize_email(other)


@pytest.mark.parametrize(
    "other", ["\u0430da@example.com", "ada+shop@example.com", "a.da@example.com", "ada@example.org"]
)
def test_different_addresses_stay_different(other: str) -> None:
    assert normalize_email(other) != "ada@example.com"


@given(st.text(max_size=80))
def test_normalization_is_idempotent(email: str) -> None:
    key = normalize_email(email)
    assert normalize_email(key) == key


@given(st.text(st.characters(max_codepoint=0x24F, exclude_characters="\u0131"), max_size=40))
def test_case_makes_no_difference(email: str) -> None:
    """The dotless i is excluded, since its capital is that of another letter."""
    assert normalize_email(email.lower()) == normalize_email(email.upper()) == normalize_email(email)


@pytest.mark.parametrize("password", ["ada@example.com", "ADA@example.com", "\uff41da@example.com"])
def test_password_must_differ_from_the_email(password: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        validate_password("Ada@example.com", SecretStr(password))
    assert [error.pointer for error in error.value.errors] == ["/password"]
    assert password not in str(error.value.errors)


def test_email_that_is_too_long_after_normalization_is_refused() -> None:
    with pytest.raises(InvalidRequest) as error:
        validate_email("\ufdfa" * 20 + "@example.com", smtp_utf8=True)
    assert [error.pointer for error in error.value.errors] == ["/email"]
    assert "after normalization" in error.value.errors[0].detail


def test_name_beyond_ascii_needs_a_mail_server_with_smtputf8() -> None:
    assert validate_email("José@example.com", smtp_utf8=True) == "josé@example.com"
    with pytest.raises(InvalidRequest) as error:
        validate_email("José@example.com")
    assert [(one.pointer, one.detail) for one in error.value.errors] == [("/email", UNICODE_NAME_PROBLEM)]


@pytest.mark.parametrize("email", ["a..b@example.com", ".a@example.com", "a.@example.com", "a@x..org", "a@[192.0.2.1]"])
def test_email_that_no_mail_can_reach_is_refused(email: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        validate_email(email)
    assert [error.pointer for error in error.value.errors] == ["/email"]


def test_throttle_key_does_not_reveal_the_email() -> None:
    one, same = (throttle_key(email, "203.0.113.7", PEPPER) for email in ("ada@example.com", "ADA@example.com"))
    assert one == same
    assert one != throttle_key("bob@example.com", "203.0.113.7", PEPPER)
    assert one != throttle_key("ada@example.com", "203.0.113.7", b"another")
    assert b"ada" not in one.account_digest


@given(failures)
def test_logins_are_refused_from_the_limit_on(recent: list[FailedLogin]) -> None:
    same_account = sum(failure.same_account for failure in recent)
    assert (login_wait_seconds(recent, LIMITS) is None) == (same_account < 5 and len(recent) < 50)


@given(failures)
def test_login_is_allowed_after_the_wait(recent: list[FailedLogin]) -> None:
    seconds = login_wait_seconds(recent, LIMITS) or 0
    later = [
        FailedLogin(one.same_account, one.age_seconds + seconds)
        for one in recent
        if one.age_seconds + seconds < LIMITS.window_seconds
    ]
    assert login_wait_seconds(later, LIMITS) is None
    assert 0 <= seconds <= LIMITS.window_seconds


def test_access_token_claims() -> None:
    now = datetime(2025, 6, 1, 12, tzinfo=UTC)
    session, token = uuid4(), uuid4()
    account = build_account()
    assert access_token_claims(account, Role.CUSTOMER, session, token, now) == {
        "iss": TOKEN_ISSUER,
        "aud": TOKEN_AUDIENCE,
        "sub": str(account.id),
        "role": "customer",
        "sid": str(session),
        "jti": str(token),
        "typ": "access",
        "iat": int(now.timestamp()),
        "exp": int(now.timestamp()) + ACCESS_TOKEN_TTL_SECONDS,
    }


def test_account_repr_has_no_personal_data() -> None:
    shown = repr(build_account())
    for secret in ("ada@", "$2b$", "Lovelace"):
        assert secret not in shown


def build_account() -> AccountRecord:
    now = datetime(2025, 6, 1, tzinfo=UTC)
    return AccountRecord(
        id=uuid4(),
        email="ada@example.com",
        password_hash="$2b$12$hash",
        first_name="Ada",
        last_name="Lovelace",
        role=Role.CUSTOMER,
        is_active=True,
        email_verified=False,
        version=1,
        totp=False,
        created_at=now,
        updated_at=now,
    )


@pytest.mark.parametrize("password", ["iloveyou", "FOOTBALL", "\uff50assword", "1qaz2wsx"])
def test_common_passwords_are_refused(password: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        validate_password("ada@example.com", SecretStr(password), "/new_password")
    assert [error.pointer for error in error.value.errors] == ["/new_password"]
    assert password not in str(error.value.errors)


def test_common_password_list_has_thousands_of_entries() -> None:
    assert len(common_passwords()) > 10_000


@pytest.mark.parametrize("email", ["ada@\u0378.example", "ada@xn--\u00fc.example"])
def test_invalid_email_domain_is_refused(email: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        validate_email(email)
    assert [error.pointer for error in error.value.errors] == ["/email"]


def test_last_administrator_is_protected() -> None:
    one, other = uuid4(), uuid4()
    with pytest.raises(LastAdmin):
        require_other_admin(one, [one])
    require_other_admin(one, [one, other])
    require_other_admin(one, [other])
    require_other_admin(one, [])


@given(st.floats(min_value=0, max_value=2000), st.floats(min_value=1, max_value=1000))
def test_wait_is_at_least_one_second(age: float, window: float) -> None:
    assert 1 <= seconds_until_expired(age, window) <= window + 1
