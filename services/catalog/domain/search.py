"""Turns the text of a search box into search terms, and chooses the sort of a list."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contracts.catalog import ListProducts, ProductSort
from services.catalog.domain.folded_text import query_text
from services.catalog.domain.search_index import exact_barcode, exact_name, exact_sku
from services.catalog.domain.synonyms import Synonyms, alternatives_query
from services.catalog.domain.typo_correction import find_words

DEFAULT_LANGUAGES = ("english",)
_OPERATORS = re.compile(r"""["'\-+()|&!:*<>\\]|\bor\b""", re.IGNORECASE)
PRICE_STEPS = (0, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000)
"""Lower bounds of the ranges of the price facet, in minor units."""


@dataclass(frozen=True, slots=True)
class SearchVocabulary:
    """How the words of searches are understood: their languages, their synonyms, and how to correct mistyped ones."""

    languages: tuple[str, ...] = DEFAULT_LANGUAGES
    """A word is found by its form in any of them. Each has a text search configuration with `shop_` before its name."""
    synonyms: Synonyms = field(default_factory=Synonyms)
    corrections: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The words that a word of this one search may stand for."""


@dataclass(frozen=True, slots=True)
class SearchTerms:
    """The folded search text, and its words where the last one may be unfinished.

    `prefix` matches every word that begins like the last one; `complete_words` are those before it. Both are empty
    when the text is to be taken as it is.
    """

    text: str
    exact: str
    """A text query for a product whose whole name, or a whole SKU or barcode, is the text."""
    complete_words: str = ""
    prefix: str = ""
    alternatives: str = ""
    """A text query for the words or what may stand for them; empty if nothing does."""

    @property
    def all_words(self) -> str:
        """A text query for all words, stop words too, the last as a prefix."""
        return " & ".join([*self.complete_words.split(), self.prefix])


def parse_terms(q: str, vocabulary: SearchVocabulary | None = None) -> SearchTerms:
    """Treats the last of plain words as a prefix. Quotes and operators are left to PostgreSQL's web search syntax."""
    text = query_text(q)
    exact = " | ".join(_quote(term(q)) for term in (exact_name, exact_sku, exact_barcode))
    words = plain_words(text)
    if not words:
        return SearchTerms(text, exact)
    alternatives = ""
    if vocabulary and (vocabulary.synonyms.others or vocabulary.corrections):
        alternatives = alternatives_query(words, vocabulary.synonyms, vocabulary.corrections)
    return SearchTerms(text, exact, " ".join(words[:-1]), f"{words[-1]}:*", alternatives)


def exact_codes(q: str) -> str:
    """A text query for a product of which the text is a whole SKU or barcode."""
    return f"{_quote(exact_sku(q))} | {_quote(exact_barcode(q))}"


def plain_words(text: str) -> list[str]:
    """The words of a folded text; none if it has quotes or operators."""
    words = find_words(text)
    return [] if not words or _OPERATORS.search(text) or not text[-1].isalnum() else words


def prefix_query(q: str, corrections: Mapping[str, Sequence[str]] | None = None) -> str | None:
    """A text query for names that have all words of `q`, the last as a prefix; None when `q` has no word."""
    words = find_words(query_text(q))
    if words and corrections:
        return alternatives_query(words, Synonyms(), corrections)
    return " & ".join([*words[:-1], f"{words[-1]}:*"]) if words else None


def _quote(term: str) -> str:
    """The term as it stands in a text query."""
    escaped = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def effective_sort(body: ListProducts) -> ProductSort:
    """The requested sort. Without one it is relevance for a search, else the newest first."""
    if body.sort is None or body.sort is ProductSort.RELEVANCE:
        return ProductSort.RELEVANCE if body.q else ProductSort.NEWEST
    return body.sort


def price_range(step: int) -> str:
    """The name of a price range by its number, from 1; the last range has no upper bound."""
    high = PRICE_STEPS[step] if step < len(PRICE_STEPS) else ""
    return f"{PRICE_STEPS[step - 1]}..{high}"
