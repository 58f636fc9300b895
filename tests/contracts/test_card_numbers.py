"""Card numbers are recognised in any form; similar numbers are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.card_numbers import contains_card_number

CARDS = {
    "visa": "4242424242424242",
    "visa of 13": "4222222222222",
    "visa of 19": "4000000000000000006",
    "mastercard": "5555555555554444",
    "mastercard 2221": "2223003122003222",
    "mastercard 2720": "2720990000000007",
    "american express": "378282246310005",
    "discover 6011": "6011111111111117",
    "discover 65": "6500000000000002",
    "diners": "30569309025904",
    "jcb": "3530111333300000",
    "unionpay": "6200000000000005",
}


@pytest.mark.parametrize("number", CARDS.values(), ids=list(CARDS))
def test_card_number_is_recognised_in_every_form(number: str) -> None:
    fours = [number[place : place + 4] for place in range(0, len(number), 4)]
    for text in (number, " ".join(fours), "-".join(fours), f"please charge {number}, thanks", f"pm_{number}"):
        assert contains_card_number(text)
    assert contains_card_number(f"order 12 {' '.join(fours)} of today")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sim_ok",
        "pm_1NqK2eLkdIwHu7ix",
        "4242424242424241",
        "42424242424242424242",
        "9999999999999995",
        "2721000000000004",
        "tok_424242",
        "call +44 20 7946 0958",
    ],
)
def test_other_text_is_not_recognised(text: str) -> None:
    assert not contains_card_number(text)


@given(st.sampled_from(sorted(CARDS.values())), st.data())
def test_one_wrong_digit_makes_it_invalid(number: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from("0123456789".replace(number[place], "")))
    assert not contains_card_number(number[:place] + other + number[place + 1 :])


@given(st.text(alphabet="0123456789 -", max_size=2_000))
def test_any_text_is_accepted(text: str) -> None:
    assert contains_card_number(text) in (True, False)
