"""Which words may stand for others: one typo apart, or synonyms."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.domain.facet_ids import ValueKind, facet_id, facet_name_id
from services.catalog.domain.synonyms import Synonyms, alternatives_query
from services.catalog.domain.typo_correction import choose_corrections, is_one_typo_away, may_be_mistyped

WORDS = st.text("abc", max_size=6)


def typos(word: str) -> Iterator[str]:
    """Everything that one typo, or none, makes of the word."""
    yield word
    for place in range(len(word) + 1):
        yield from (word[:place] + one + word[place:] for one in "abc")
        if place < len(word):
            yield word[:place] + word[place + 1 :]
            yield from (word[:place] + one + word[place + 1 :] for one in "abc")
            yield word[:place] + word[place + 1 : place + 2] + word[place] + word[place + 2 :]


@given(WORDS, WORDS)
def test_one_typo_is_a_letter_more_or_less_another_or_two_swapped(word: str, other: str) -> None:
    assert is_one_typo_away(word, other) == (other in set(typos(word)))


def test_short_words_and_numbers_are_taken_as_they_are() -> None:
    assert [word for word in ("lmp", "lamp", "lampa", "ab12cd", "x" * 41) if may_be_mistyped(word)] == ["lamp", "lampa"]


def test_an_unfinished_word_may_be_mistyped() -> None:
    candidates = ["hustawka", "hustawki", "huslawka"]
    assert choose_corrections("hustavka", candidates, is_unfinished=False) == ["hustawka"]
    assert choose_corrections("hustavk", candidates, is_unfinished=False) == []
    assert choose_corrections("hustavk", candidates, is_unfinished=True) == ["hustawka", "hustawki"]


SYNONYMS = Synonyms.of([["Couch", "sofa", "three  seater"], ["bed", "sofa"], ["?!", "mark"]], 7)


@pytest.mark.parametrize(
    ("words", "query"),
    [
        (["couch"], "((couch:*) | (sofa) | (three <-> seater))"),
        (["sofa", "red"], "((sofa) | (couch) | (three <-> seater) | (bed)) & ((red:*))"),
        (["red", "three", "seater"], "((red)) & ((three & seater:*) | (couch) | (sofa))"),
        (["three", "lamps"], ""),
        (["mark"], ""),
        (["lapm", "bed"], "((lapm) | (lamp) | (lapis)) & ((bed:*) | (sofa))"),
    ],
)
def test_words_are_replaced_by_what_stands_for_them(words: list[str], query: str) -> None:
    corrections = {"lapm": ["lamp", "lapis"]}
    assert alternatives_query(words, SYNONYMS, corrections) == query


@given(st.sampled_from(ValueKind), st.text(), st.text())
def test_the_number_of_a_value_begins_with_that_of_its_name(kind: ValueKind, name: str, value: str) -> None:
    number = facet_id(kind, name, value)
    assert -(2**63) <= number < 2**63
    assert number >> 39 == facet_name_id(kind, name)
    assert number & 3 == kind
    assert number == facet_id(kind, name.upper().lower(), value) or name.upper().lower() != name
