"""Turns the text of a search box into search terms, and chooses the sort of a list."""

import re
from dataclasses import dataclass

from contracts.catalog import ListProducts, ProductSort

_WORDS = re.compile(r"\w+")
_OPERATORS = re.compile(r"""["'\-+()|&!:*<>\\]|\bor\b""", re.IGNORECASE)
PRICE_STEPS = (0, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000)
"""Lower bounds of the ranges of the price facet, in minor units."""


@dataclass(frozen=True, slots=True)
class SearchTerms:
    """The search text, and its words where the last one may be unfinished.

    `prefix` matches every word that begins like the last one; `complete_words` are those before it. Both are empty
    when the text is to be taken as it is.
    """

    text: str
    complete_words: str = ""
    prefix: str = ""


def parse_terms(q: str) -> SearchTerms:
    """Treats the last of plain words as a prefix. Quotes and operators are left to PostgreSQL's web search syntax."""
    words = _WORDS.findall(q)
    if not words or _OPERATORS.search(q) or not q[-1].isalnum():
        return SearchTerms(q)
    return SearchTerms(q, " ".join(words[:-1]), f"{words[-1]}:*")


def prefix_query(q: str) -> str | None:
    """A text query for names that have all words of `q`, the last as a prefix; None when `q` has no word."""
    words = _WORDS.findall(q.lower())
    return " & ".join([*words[:-1], f"{words[-1]}:*"]) if words else None


def effective_sort(body: ListProducts) -> ProductSort:
    """The requested sort. Without one it is relevance for a search, else the newest first."""
    if body.sort is None or body.sort is ProductSort.RELEVANCE:
        return ProductSort.RELEVANCE if body.q else ProductSort.NEWEST
    return body.sort


def price_range(step: int) -> str:
    """The name of a price range by its number, from 1; the last range has no upper bound."""
    high = PRICE_STEPS[step] if step < len(PRICE_STEPS) else ""
    return f"{PRICE_STEPS[step - 1]}..{high}"
