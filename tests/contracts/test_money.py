"""Arithmetic on integers of minor units: rounding, shares of an amount, and parts of a line."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.money import MAX_AMOUNT, allocate, divide_half_up, share_of_units

AMOUNTS = st.integers(0, MAX_AMOUNT)


@given(AMOUNTS, st.integers(1, 10**12))
def test_a_quotient_is_rounded_to_the_nearest_and_a_half_upwards(dividend: int, divisor: int) -> None:
    exact = Fraction(dividend, divisor)
    assert Fraction(-1, 2) < divide_half_up(dividend, divisor) - exact <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("amount", "weights", "shares"),
    [
        (1000, [1000, 1000, 1000], [334, 333, 333]),
        (500, [3998, 999], [400, 100]),
        (1, [0, 5, 5], [0, 1, 0]),
        (0, [7, 0], [0, 0]),
        (2, [1, 1, 1], [1, 1, 0]),
    ],
)
def test_what_remains_goes_to_the_largest_remainders_an_earlier_one_first(
    amount: int, weights: list[int], shares: list[int]
) -> None:
    assert allocate(amount, weights) == shares


@given(st.lists(AMOUNTS, min_size=1, max_size=40).filter(any), st.data())
def test_shares_add_up_stay_within_one_unit_and_below_their_weights(weights: list[int], data: st.DataObject) -> None:
    amount = data.draw(st.integers(0, sum(weights)))
    shares = allocate(amount, weights)
    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert 0 <= share <= weight
        assert abs(share - Fraction(amount * weight, sum(weights))) < 1


def test_the_units_of_a_line_share_its_amount_in_turn() -> None:
    assert [share_of_units(899, 3, first=unit, count=1) for unit in range(3)] == [300, 299, 300]


@given(AMOUNTS, st.integers(1, 999), st.sets(st.integers(1, 998)))
def test_parts_of_a_line_add_up_in_whichever_steps(amount: int, quantity: int, cuts: set[int]) -> None:
    steps = [0, *sorted(cut for cut in cuts if cut < quantity), quantity]
    parts = [share_of_units(amount, quantity, first=start, count=end - start) for start, end in pairwise(steps)]
    assert sum(parts) == amount
    assert min(parts) >= 0
