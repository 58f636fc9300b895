"""Which e-mail addresses a request may name, and that a reply may still hold an older one."""

from email.headerregistry import Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts.email_addresses import (
    find_email_problem,
    guest_order_spellings,
    has_unicode_name,
    to_ascii_domain,
    to_ascii_domain_email,
)
from contracts.model import Email, StoredEmail
from contracts.order import GuestContact
from contracts.user import UserContact

LONG_DOMAIN = ".".join(["d" * 60] * 4)

MAILABLE = [
    "ada@example.com",
    "ADA@Example.COM",
    "a@b.co",
    "ada+shop@example.com",
    "ada.b.lovelace@mail.example.co.uk",
    "o'neill!#$%&*/=?^_`{|}~-@example.com",
    "1@2.example",
    "ada@bücher.example",
    "ada@例子.广告",
    "ada@xn--bcher-kva.example",
    "josé@example.com",
    "पिता@example.com",
    "n" * 64 + "@example.com",
]
UNMAILABLE = [
    "",
    "ada",
    "@example.com",
    "ada@",
    "a..b@example.com",
    ".a@example.com",
    "a.@example.com",
    "a@example..org",
    "a@.example.org",
    "a@example.org.",
    "a@localhost",
    "a@[192.0.2.1]",
    "a@[IPv6:2001:db8::1]",
    "a@192.0.2.1",
    "a@\uff11\uff19\uff12.0.2.\uff11",
    "(a)@example.com",
    '"a b"@example.com',
    "a b@example.com",
    "a\u00a0b@example.com",
    "a[b]@example.com",
    "a@b@example.com",
    "a@exam_ple.com",
    "a@-example.com",
    "a@example-.com",
    "a@\u0378.example",
    "a@" + "d" * 64 + ".com",
    "a@" + LONG_DOMAIN + ".example.com",
    "n" * 65 + "@example.com",
    "é" * 33 + "@example.com",
    "ada@" + "ü" * 60 + ".example",
    "a@example.com\n",
    "a@example.com\r\nBcc: b@example.com",
]
EMAIL, STORED_EMAIL = TypeAdapter[str](Email), TypeAdapter[str](StoredEmail)


@pytest.mark.parametrize("email", MAILABLE)
def test_addresses_that_can_be_mailed_are_accepted(email: str) -> None:
    assert find_email_problem(email) is None
    assert EMAIL.validate_python(email) == email


@pytest.mark.parametrize("email", UNMAILABLE)
def test_addresses_that_cannot_be_mailed_are_refused(email: str) -> None:
    assert find_email_problem(email)
    with pytest.raises(ValidationError):
        EMAIL.validate_python(email)


@pytest.mark.parametrize(
    "written",
    [
        "\uff41da@example.com",
        "ada@\uff45xample.com",
        "a\u200bda@example.com",
        "ada\u200e@example.com",
        "ada@exam\u00adple.com",
    ],
)
def test_wide_letters_and_invisible_characters_are_cleaned(written: str) -> None:
    assert EMAIL.validate_python(written) == "ada@example.com"
    assert EMAIL.validate_python("Ada@Example.com") == "Ada@Example.com"


@pytest.mark.parametrize("email", ["a..b@example.com", ".a@example.com", "a.@example.com", "a@x..org", "a@[192.0.2.1]"])
def test_a_reply_may_hold_an_older_address_that_cannot_be_mailed(email: str) -> None:
    assert STORED_EMAIL.validate_python(email) == email
    assert UserContact(email=email, first_name="Ada", last_name="Lovelace").email == email
    assert GuestContact(email=email, name="Ada").email == email


@given(st.from_regex(r"\A[a-zA-Z0-9.!'+_()\[\]é\u200b-]{1,12}@[a-z0-9.ü_-]{1,20}\Z"))
def test_every_accepted_address_is_one_of_the_standard_library(email: str) -> None:
    if find_email_problem(email) is None and not has_unicode_name(email):
        parsed = Address(addr_spec=to_ascii_domain_email(email))
        assert parsed.addr_spec == to_ascii_domain_email(email)


def test_only_the_name_needs_smtputf8() -> None:
    assert has_unicode_name("josé@example.com")
    assert not has_unicode_name("jose@bücher.example")


def test_a_domain_beyond_ascii_is_looked_up_as_punycode() -> None:
    assert to_ascii_domain("Bücher.example") == "xn--bcher-kva.example"
    assert to_ascii_domain("Example.com") == "Example.com"
    assert to_ascii_domain("\u0378.example") is None
    assert to_ascii_domain_email("josé@bücher.example") == "josé@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("email", "spellings"),
    [
        ("Ada@Example.com", ["ada@example.com"]),
        ("Ada@Bücher.example", ["ada@bücher.example", "ada@xn--bcher-kva.example"]),
        ("ada@straße.example", ["ada@straße.example", "ada@xn--strae-oqa.example"]),
        ("groß@example.com", ["groß@example.com"]),
    ],
)
def test_orders_of_another_mailbox_are_not_ones_own(email: str, spellings: list[str]) -> None:
    """`strasse.example` may belong to another person, though both spellings are one account."""
    assert guest_order_spellings(email) == spellings
