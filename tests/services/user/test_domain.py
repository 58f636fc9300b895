"""Decisions of the user service."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from contracts.failure import InvalidRequest
from contracts.identity import Role
from contracts.user import ACCESS_TOKEN_TTL_SECONDS, TOKEN_AUDIENCE, TOKEN_ISSUER, LastAdmin
from services.user.domain import accounts as domain
from services.user.domain.accounts import AccountRecord, FailedLogin, LoginLimits

LIMITS = LoginLimits(per_account=5, per_address=50, window_seconds=900.0)
PEPPER = b"pepper"

ages = st.floats(min_value=0, max_value=899.9)
failures = st.lists(st.builds(FailedLogin, own=st.booleans(), age=ages), max_size=80)


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
def test_spellings_of_one_address_are_one_account(other: str) -> None:
    assert domain.normalize_email(other) == "ada@example.com"


@pytest.mark.parametrize(
    ("one", "other"),
    [("kelvin@example.com", "\u212aelvin@example.com"), ("straße@example.com", "STRASSE@example.com")],
)
def test_letters_that_fold_to_the_same_are_the_same(one: str, other: str) -> None:
    assert domain.normalize_email(one) == domain.normalize_email(other)


@pytest.mark.parametrize(
    "other", ["\u0430da@example.com", "ada+shop@example.com", "a.da@example.com", "ada@example.org"]
)
def test_other_addresses_are_other_accounts(other: str) -> None:
    assert domain.normalize_email(other) != "ada@example.com"


@given(st.text(max_size=80))
def test_a_key_is_its_own_key(email: str) -> None:
    key = domain.normalize_email(email)
    assert domain.normalize_email(key) == key


@given(st.text(st.characters(max_codepoint=0x24F, exclude_characters="\u0131"), max_size=40))
def test_case_makes_no_difference(email: str) -> None:
    """But for the dotless i, whose capital is that of another letter."""
    assert (
        domain.normalize_email(email.lower()) == domain.normalize_email(email.upper()) == domain.normalize_email(email)
    )


@pytest.mark.parametrize("password", ["ada@example.com", "ADA@example.com", "\uff41da@example.com"])
def test_the_password_is_not_the_email(password: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        domain.validate_registration("Ada@example.com", SecretStr(password))
    assert [error.pointer for error in refused.value.errors] == ["/password"]
    assert password not in str(refused.value.errors)


def test_an_email_that_grows_when_it_is_folded_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        domain.validate_registration("\ufdfa" * 200 + "@example.com", SecretStr("correct horse"))
    assert [error.pointer for error in refused.value.errors] == ["/email"]


def test_an_attempt_does_not_tell_whose_it_is() -> None:
    one, same = (domain.throttle_key(email, "203.0.113.7", PEPPER) for email in ("ada@example.com", "ADA@example.com"))
    assert one == same
    assert one != domain.throttle_key("bob@example.com", "203.0.113.7", PEPPER)
    assert one != domain.throttle_key("ada@example.com", "203.0.113.7", b"another")
    assert b"ada" not in one.account_digest


@given(failures)
def test_logins_are_refused_from_the_fifth_own_and_the_fiftieth_failure_on(recent: list[FailedLogin]) -> None:
    own = sum(failure.same_account for failure in recent)
    assert (domain.login_wait_seconds(recent, LIMITS) is None) == (own < 5 and len(recent) < 50)


@given(failures)
def test_after_the_wait_a_login_may_be_tried(recent: list[FailedLogin]) -> None:
    seconds = domain.login_wait_seconds(recent, LIMITS) or 0
    later = [
        FailedLogin(one.same_account, one.age_seconds + seconds)
        for one in recent
        if one.age_seconds + seconds < LIMITS.window_seconds
    ]
    assert domain.login_wait_seconds(later, LIMITS) is None
    assert 0 <= seconds <= LIMITS.window_seconds


def test_an_access_token_says_who_for_how_long_and_of_which_session() -> None:
    now = datetime(2025, 6, 1, 12, tzinfo=UTC)
    session, token = uuid4(), uuid4()
    account = an_account()
    assert domain.access_token_claims(account, Role.CUSTOMER, session, token, now) == {
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


def test_an_account_shows_nothing_personal() -> None:
    shown = repr(an_account())
    for secret in ("ada@", "$2b$", "Lovelace"):
        assert secret not in shown


def an_account() -> AccountRecord:
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
def test_what_everybody_tries_first_is_no_password(password: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        domain.validate_password("ada@example.com", SecretStr(password), "/new_password")
    assert [error.pointer for error in refused.value.errors] == ["/new_password"]
    assert password not in str(refused.value.errors)


def test_there_are_thousands_of_common_passwords() -> None:
    assert len(domain.common_passwords()) > 10_000


@pytest.mark.parametrize("email", ["ada@\u0378.example", "ada@xn--\u00fc.example"])
def test_a_domain_that_cannot_be_is_refused(email: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        domain.validate_registration(email, SecretStr("correct horse"))
    assert [error.pointer for error in refused.value.errors] == ["/email"]


def test_the_last_administrator_is_spared() -> None:
    one, other = uuid4(), uuid4()
    with pytest.raises(LastAdmin):
        domain.require_other_admin(one, [one])
    domain.require_other_admin(one, [one, other])
    domain.require_other_admin(one, [other])
    domain.require_other_admin(one, [])


@given(st.floats(min_value=0, max_value=2000), st.floats(min_value=1, max_value=1000))
def test_a_wait_is_never_over_before_it_begins(age: float, window: float) -> None:
    assert 1 <= domain.seconds_until_expired(age, window) <= window + 1
