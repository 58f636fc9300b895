"""What is typed into a search box, as the search understands it; and where a page goes on."""

import re
from dataclasses import dataclass

from contracts.catalog import ListProducts, ProductSort

_WORDS = re.compile(r"\w+")
_PLAIN = re.compile(r"""["'\-+()|&!:*<>\\]|\bor\b""", re.IGNORECASE)
PRICE_STEPS = (0, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000)
"""Where the ranges of the price facet begin, in minor units."""


@dataclass(frozen=True, slots=True)
class SearchTerms:
    """`whole` is what was typed. `head` and `last` are set when its last word may be the beginning of a longer one."""

    text: str
    complete_words: str = ""
    prefix: str = ""


def parse_terms(q: str) -> SearchTerms:
    """Plain words match the beginnings that their last may be; quotes and operators are left to the search."""
    words = _WORDS.findall(q)
    if not words or _PLAIN.search(q) or not q[-1].isalnum():
        return SearchTerms(q)
    return SearchTerms(q, " ".join(words[:-1]), f"{words[-1]}:*")


def prefix_query(q: str) -> str | None:
    """A text query for names that have all words of `q`, the last perhaps unfinished; None when there is no word."""
    words = _WORDS.findall(q.lower())
    return " & ".join([*words[:-1], f"{words[-1]}:*"]) if words else None


def effective_sort(body: ListProducts) -> ProductSort:
    """By relevance where there is something to be relevant to, else the newest first."""
    if body.sort is None or body.sort is ProductSort.RELEVANCE:
        return ProductSort.RELEVANCE if body.q else ProductSort.NEWEST
    return body.sort


def price_range(step: int) -> str:
    """The name of the `step`th range of prices, from 1; the last one is open."""
    high = PRICE_STEPS[step] if step < len(PRICE_STEPS) else ""
    return f"{PRICE_STEPS[step - 1]}..{high}"
