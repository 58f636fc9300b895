"""Card numbers are recognised in any form; similar numbers are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.card_numbers import ISSUER_PREFIXES, contains_card_number, has_valid_luhn_digit, is_card_number

CARDS = {
    "visa": "4242424242424242",
    "visa of 13": "4222222222222",
    "visa of 19": "4000000000000000006",
    "mastercard": "5555555555554444",
    "mastercard 2221": "2223003122003222",
    "mastercard 2720": "2720990000000007",
    "american express": "378282246310005",
    "discover 6011": "6011111111111117",
    "discover 644": "6445644564456445",
    "discover 65": "6500000000000002",
    "diners 30": "30569309025904",
    "diners 36": "36227206271667",
    "diners 38": "38520000023237",
    "jcb": "3566002020360505",
    "unionpay": "6200000000000005",
}


@pytest.mark.parametrize("number", CARDS.values(), ids=list(CARDS))
def test_card_number_is_recognised_in_every_form(number: str) -> None:
    fours = [number[place : place + 4] for place in range(0, len(number), 4)]
    for text in (number, " ".join(fours), "-".join(fours), "-".join(number)):
        assert contains_card_number(text)
    assert contains_card_number(f"please charge {number}, thanks")
    assert contains_card_number(f"pm_{number}_x")
    assert contains_card_number(f"order 12 {' '.join(fours)} of today")
    assert contains_card_number(f"2 x tea: {number[:4]} {number[4:10]}\u2013{number[10:]} 12/27")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sim_ok",
        "pm_1NqK2eLkdIwHu7ix",
        "tok_424242",
        "4242424242424241",  # another check digit
        "424242424242424242420",  # too long
        "42424242",  # too short
        "37828224631000",  # American Express has 15
        "1234567812345670",  # no issuer has this prefix
        "9999999999999995",
        "2720990000000000",
        "2721000000000004",
        "9400111899223100001234",  # a tracking number
        "4006381333931",  # a barcode
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "call +44 20 7946 0958",
        "call 030 1234567 or 040 7654321",
    ],
)
def test_other_text_is_not_recognised(text: str) -> None:
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


@given(st.sampled_from(sorted(CARDS.values())), st.data())
def test_one_wrong_digit_makes_it_invalid(number: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from("0123456789".replace(number[place], "")))
    assert not contains_card_number(number[:place] + other + number[place + 1 :])


@given(st.text() | st.text(alphabet="0123456789 -", max_size=2_000))
def test_any_text_is_accepted(text: str) -> None:
    assert contains_card_number(text) in (True, False)
