"""Turns the text of a search box into search terms, and chooses the sort of a list."""

import re
from dataclasses import dataclass

from contracts.catalog import ListProducts, ProductSort
from services.catalog.domain.folded_text import fold
from services.catalog.domain.search_index import exact_name, exact_sku

_WORDS = re.compile(r"\w+")
_OPERATORS = re.compile(r"""["'\-+()|&!:*<>\\]|\bor\b""", re.IGNORECASE)
PRICE_STEPS = (0, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000)
"""Lower bounds of the ranges of the price facet, in minor units."""


@dataclass(frozen=True, slots=True)
class SearchTerms:
    """The folded search text, and its words where the last one may be unfinished.

    `prefix` matches every word that begins like the last one; `complete_words` are those before it. Both are empty
    when the text is to be taken as it is.
    """

    text: str
    exact: str
    """A text query for a product whose whole name, or a whole SKU, is the text."""
    complete_words: str = ""
    prefix: str = ""

    @property
    def all_words(self) -> str:
        """A text query for all words, stop words too, the last as a prefix."""
        return " & ".join([*self.complete_words.split(), self.prefix])


def parse_terms(q: str) -> SearchTerms:
    """Treats the last of plain words as a prefix. Quotes and operators are left to PostgreSQL's web search syntax."""
    text = fold(q)
    exact = f"{_quote(exact_name(q))} | {_quote(exact_sku(q))}"
    words = _WORDS.findall(text)
    if not words or _OPERATORS.search(text) or not text[-1].isalnum():
        return SearchTerms(text, exact)
    return SearchTerms(text, exact, " ".join(words[:-1]), f"{words[-1]}:*")


def prefix_query(q: str) -> str | None:
    """A text query for names that have all words of `q`, the last as a prefix; None when `q` has no word."""
    words = _WORDS.findall(fold(q))
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
