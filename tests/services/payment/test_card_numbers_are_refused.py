"""Which texts contain a card number, and which only contain other numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.card_numbers import ISSUER_PREFIXES, contains_card_number, has_valid_luhn_digit, is_card_number

CARDS = [
    "4242424242424242",
    "4222222222222",
    "4000000000000000006",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "6445644564456445",
    "6500000000000002",
    "3566002020360505",
    "30569309025904",
    "36227206271667",
    "38520000023237",
    "6200000000000005",
]


@pytest.mark.parametrize("card", CARDS)
def test_every_issuer_is_recognised(card: str) -> None:
    assert contains_card_number(card)
    assert contains_card_number(" ".join(card[place : place + 4] for place in range(0, len(card), 4)))
    assert contains_card_number("-".join(card))
    assert contains_card_number(f"please take it from {card}, thank you")
    assert contains_card_number(f"2 x tea: {card[:4]} {card[4:10]}\u2013{card[10:]} 12/27")
    assert contains_card_number(f"tok_{card}_x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sim_ok",
        "4242424242424241",  # check digit
        "424242424242424242420",  # too long
        "42424242",  # too short
        "9400111899223100001234",  # a tracking number
        "4006381333931",  # a barcode that only begins like a card... and whose check digit is another
        "1234567812345670",  # no issuer has this prefix
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "2720990000000000",
        "37828224631000",  # American Express has 15
        "call 030 1234567 or 040 7654321",
    ],
)
def test_other_numbers_are_not_cards(text: str) -> None:
    assert not contains_card_number(text)


@given(st.sampled_from(ISSUER_PREFIXES), st.data())
def test_a_number_with_prefix_length_and_check_digit_is_found_in_any_text(
    issuer: tuple[range, frozenset[int]], data: st.DataObject
) -> None:
    prefixes, lengths = issuer
    prefix, length = str(data.draw(st.sampled_from(prefixes))), data.draw(st.sampled_from(sorted(lengths)))
    body = (prefix + data.draw(st.text("0123456789", max_size=18)).ljust(18, "7"))[: length - 1]
    card = next(body + digit for digit in "0123456789" if has_valid_luhn_digit(body + digit))
    assert is_card_number(card)
    words = st.text(st.characters(exclude_categories=["Nd", "Nl", "No"]), max_size=20)
    assert contains_card_number(f"{data.draw(words)}x{card}y{data.draw(words)}")


@given(st.text("0123456789", min_size=1, max_size=18))
def test_exactly_one_check_digit_is_valid(body: str) -> None:
    assert sum(has_valid_luhn_digit(body + digit) for digit in "0123456789") == 1


@given(st.text())
def test_any_text_can_be_checked(text: str) -> None:
    assert contains_card_number(text) in (True, False)
