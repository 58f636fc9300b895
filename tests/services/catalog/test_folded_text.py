"""What is the same text for search, for tags and for the order of names."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.domain.folded_text import fold, name_key, query_text, search_text, tag_key, unique_tags
from services.catalog.domain.search_index import MAX_LEXEME_BYTES, exact_name, search_columns

MAX_INDEX_ENTRY_BYTES = 2_600
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200)


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Crème Brûlée", "creme brulee"),
        ("Straße", "strasse"),
        ("ŁÓDŹ", "lodz"),
        ("Smørrebrød Æble", "smorrebrod aeble"),
        ("Œuvre", "oeuvre"),
        ("Þingvellir", "thingvellir"),
        ("Đà Nẵng", "da nang"),
        ("\u0130stanbul", "istanbul"),
        ("\uff23\uff21\uff26\uff25\u3000\uff11", "cafe 1"),
        ("Ёлка", "елка"),
        ("ЧАЙНИК", "чайник"),
        ("\u0386\u0393\u0399\u039f\u03a3", "\u03b1\u03b3\u03b9\u03bf\u03c3"),
        ("Levi\u2019s", "levi's"),
        ("T\u2011Shirt", "t-shirt"),
        ("\ufb01g", "fig"),
        ("  two\t words ", "two words"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\u304c", "\u304c"),
        ("\ud55c\uad6d", "\ud55c\uad6d"),
    ],
)
def test_folds_accents_case_and_letter_forms(written: str, folded: str) -> None:
    for form in ("NFC", "NFD"):
        assert fold(unicodedata.normalize(form, written)) == folded


@given(TEXTS)
def test_folding_is_the_same_for_equal_texts(text: str) -> None:
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("written", "indexed", "searched"),
    [
        ("Brûlée pan", "brulee pan", "brulee pan"),
        ("東京タワー", "東京 京タ タワ ワー ー", "東京 京タ タワ ワー"),
        ("A4「用紙」x2", "a4 用紙 紙 x2", "a4 用紙 x2"),
        ("型", "型", "型"),
        ("ﾀﾜｰ", "タワ ワー ー", "タワ ワー"),
    ],
)
def test_languages_without_spaces_are_split_into_bigrams(written: str, indexed: str, searched: str) -> None:
    assert search_text(written) == indexed
    assert query_text(written) == searched


@given(TEXTS)
def test_a_text_has_all_words_of_the_search_for_it(text: str) -> None:
    assert set(query_text(text).split()) <= set(search_text(text).split())


def test_tags_are_told_apart_by_all_but_their_case() -> None:
    assert tag_key("Café") == tag_key("CAFE\u0301")
    assert tag_key("Café") != tag_key("Cafe")
    assert unique_tags(["Red", "big", "RED", "Big", "straße", "STRASSE"]) == ("Red", "big", "straße")


@pytest.mark.parametrize(
    "names",
    [
        ["apple", "Äpple", "Apricot", "zebra", "Zoë"],
        ["Shelf 2", "shelf 9", "Shelf 10", "Shelf 100"],
        ["9 mm nut", "10 mm nut", "Allen key"],
        ["1.5 l", "1.10 l"],
        ["The Who", "Theatre", "Thewall"],
        ["resume", "Resume", "résumé", "Résumé", "resumes"],
        ["Lodz", "Łódź", "lz"],
        ["Œuvre", "om", "øre"],
        ["Anna", "Élan", "etage", "ölig", "Übel", "Uhr"],
        ["abc", "абв", "Ямб"],
    ],
)
def test_names_are_sorted_as_readers_expect(names: list[str]) -> None:
    assert sorted(set(names), key=name_key) == names


@given(TEXTS)
def test_keys_fit_into_the_indexes(text: str) -> None:
    assert len(name_key(text)) <= MAX_INDEX_ENTRY_BYTES
    assert name_key(unicodedata.normalize("NFD", text)) == name_key(text)
    columns = search_columns(text, [text], text, [text])
    assert all(len(term.encode()) <= MAX_LEXEME_BYTES for term in columns.exact_terms)


def test_the_longest_keys_fit_into_the_indexes() -> None:
    for char in ("\ufdfa", "\u3300", "あ", "é", "1"):
        assert len(name_key(char * 255)) <= MAX_INDEX_ENTRY_BYTES
        assert len(exact_name(char * 255).encode()) <= MAX_LEXEME_BYTES
