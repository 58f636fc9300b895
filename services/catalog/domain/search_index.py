"""What a product is found, filtered and sorted by, made from its texts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.catalog.domain.folded_text import fold, name_key, tag_key

MAX_LEXEME_BYTES = 2000
"""PostgreSQL's limit is 2,046."""


@dataclass(frozen=True, slots=True)
class SearchColumns:
    """The columns of a product that only lists and search read."""

    folded_name: str
    name_key: bytes
    tag_keys: tuple[str, ...]
    """As many as tags; empty for a tag that is repeated in another case."""
    folded_tags: str
    folded_description: str
    exact_terms: tuple[str, ...]
    """Terms that only the whole name or a whole SKU matches."""


def search_columns(name: str, tags: Sequence[str], description: str, skus: Iterable[str]) -> SearchColumns:
    """The search columns of a product with these texts."""
    return SearchColumns(
        folded_name=fold(name),
        name_key=name_key(name),
        tag_keys=tuple(_tag_keys(tags)),
        folded_tags=fold(" ".join(tags)),
        folded_description=fold(description),
        exact_terms=(exact_name(name), *map(exact_sku, skus)),
    )


def _tag_keys(tags: Sequence[str]) -> Iterator[str]:
    seen = {""}
    for key in map(tag_key, tags):
        yield "" if key in seen else key
        seen.add(key)


def exact_name(name: str) -> str:
    """The term of a whole name."""
    return _limit(f"name={fold(name)}")


def exact_sku(sku: str) -> str:
    """The term of a whole SKU."""
    return _limit(f"sku={fold(sku)}")


def _limit(term: str) -> str:
    return term.encode()[:MAX_LEXEME_BYTES].decode(errors="ignore")
