"""Decisions of the user service."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from contracts.failure import Invalid
from contracts.identity import Role
from contracts.user import ACCESS_TTL, AUDIENCE, ISSUER, LastAdmin
from services.user.domain import accounts as domain
from services.user.domain.accounts import Account, Failure, Limits

LIMITS = Limits(of_account=5, of_address=50, window=900.0)
PEPPER = b"pepper"

ages = st.floats(min_value=0, max_value=899.9)
failures = st.lists(st.builds(Failure, own=st.booleans(), age=ages), max_size=80)


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
    assert domain.email_key(other) == "ada@example.com"


@pytest.mark.parametrize(
    ("one", "other"),
    [("kelvin@example.com", "\u212aelvin@example.com"), ("straße@example.com", "STRASSE@example.com")],
)
def test_letters_that_fold_to_the_same_are_the_same(one: str, other: str) -> None:
    assert domain.email_key(one) == domain.email_key(other)


@pytest.mark.parametrize(
    "other", ["\u0430da@example.com", "ada+shop@example.com", "a.da@example.com", "ada@example.org"]
)
def test_other_addresses_are_other_accounts(other: str) -> None:
    assert domain.email_key(other) != "ada@example.com"


@given(st.text(max_size=80))
def test_a_key_is_its_own_key(email: str) -> None:
    key = domain.email_key(email)
    assert domain.email_key(key) == key


@given(st.text(st.characters(max_codepoint=0x24F, exclude_characters="\u0131"), max_size=40))
def test_case_makes_no_difference(email: str) -> None:
    """But for the dotless i, whose capital is that of another letter."""
    assert domain.email_key(email.lower()) == domain.email_key(email.upper()) == domain.email_key(email)


@pytest.mark.parametrize("password", ["ada@example.com", "ADA@example.com", "\uff41da@example.com"])
def test_the_password_is_not_the_email(password: str) -> None:
    with pytest.raises(Invalid) as refused:
        domain.admit("Ada@example.com", SecretStr(password))
    assert [error.pointer for error in refused.value.errors] == ["/password"]
    assert password not in str(refused.value.errors)


def test_an_email_that_grows_when_it_is_folded_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        domain.admit("\ufdfa" * 200 + "@example.com", SecretStr("correct horse"))
    assert [error.pointer for error in refused.value.errors] == ["/email"]


def test_an_attempt_does_not_tell_whose_it_is() -> None:
    one, same = (domain.attempt(email, "203.0.113.7", PEPPER) for email in ("ada@example.com", "ADA@example.com"))
    assert one == same
    assert one != domain.attempt("bob@example.com", "203.0.113.7", PEPPER)
    assert one != domain.attempt("ada@example.com", "203.0.113.7", b"another")
    assert b"ada" not in one.account


@given(failures)
def test_logins_are_refused_from_the_fifth_own_and_the_fiftieth_failure_on(recent: list[Failure]) -> None:
    own = sum(failure.own for failure in recent)
    assert (domain.wait(recent, LIMITS) is None) == (own < 5 and len(recent) < 50)


@given(failures)
def test_after_the_wait_a_login_may_be_tried(recent: list[Failure]) -> None:
    seconds = domain.wait(recent, LIMITS) or 0
    later = [Failure(one.own, one.age + seconds) for one in recent if one.age + seconds < LIMITS.window]
    assert domain.wait(later, LIMITS) is None
    assert 0 <= seconds <= LIMITS.window


def test_an_access_token_says_who_for_how_long_and_of_which_session() -> None:
    now = datetime(2025, 6, 1, 12, tzinfo=UTC)
    session, token = uuid4(), uuid4()
    account = an_account()
    assert domain.claims(account, Role.CUSTOMER, session, token, now) == {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(account.id),
        "role": "customer",
        "sid": str(session),
        "jti": str(token),
        "typ": "access",
        "iat": int(now.timestamp()),
        "exp": int(now.timestamp()) + ACCESS_TTL,
    }


def test_an_account_shows_nothing_personal() -> None:
    shown = repr(an_account())
    for secret in ("ada@", "$2b$", "Lovelace"):
        assert secret not in shown


def an_account() -> Account:
    now = datetime(2025, 6, 1, tzinfo=UTC)
    return Account(
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
    with pytest.raises(Invalid) as refused:
        domain.admit_password("ada@example.com", SecretStr(password), "/new_password")
    assert [error.pointer for error in refused.value.errors] == ["/new_password"]
    assert password not in str(refused.value.errors)


def test_there_are_thousands_of_common_passwords() -> None:
    assert len(domain.common_passwords()) > 10_000


@pytest.mark.parametrize("email", ["ada@\u0378.example", "ada@xn--\u00fc.example"])
def test_a_domain_that_cannot_be_is_refused(email: str) -> None:
    with pytest.raises(Invalid) as refused:
        domain.admit(email, SecretStr("correct horse"))
    assert [error.pointer for error in refused.value.errors] == ["/email"]


def test_the_last_administrator_is_spared() -> None:
    one, other = uuid4(), uuid4()
    with pytest.raises(LastAdmin):
        domain.spare(one, [one])
    domain.spare(one, [one, other])
    domain.spare(one, [other])
    domain.spare(one, [])


@given(st.floats(min_value=0, max_value=2000), st.floats(min_value=1, max_value=1000))
def test_a_wait_is_never_over_before_it_begins(age: float, window: float) -> None:
    assert 1 <= domain.until_free(age, window) <= window + 1
