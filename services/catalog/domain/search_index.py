"""What a product is found, filtered and sorted by, made from its texts."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.catalog.domain.facet_ids import facet_values
from services.catalog.domain.folded_text import fold, name_key, search_text, tag_key

MAX_LEXEME_BYTES = 2000
"""PostgreSQL's limit is 2,046."""
MAX_DETAILS_LENGTH = 20_000
_WORDS = re.compile(r"[^\W\d_]{3,40}")
"""Words that a mistyped word may stand for: of letters only, so no SKUs."""


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
    """Terms that only the whole name, a whole SKU or a whole barcode matches."""
    folded_details: str
    """The attributes, and the values of options."""
    facet_values: Mapping[int, tuple[str, str]]
    """The tags, attributes and options by their numbers."""
    words: tuple[str, ...]
    """The words of its texts but the description, each once."""


def search_columns(
    name: str,
    tags: Sequence[str],
    description: str,
    skus: Iterable[str],
    barcodes: Iterable[str] = (),
    vendor: str | None = None,
    attributes: Mapping[str, str] | None = None,
    options: Sequence[Mapping[str, str]] = (),
) -> SearchColumns:
    """The search columns of a product with these texts, and the options of each variant.

    The vendor is found as a tag is.
    """
    folded_name, folded_tags = search_text(name), search_text(" ".join([*tags, vendor or ""]))
    folded_details = search_text(" ".join(_details(attributes or {}, options)))[:MAX_DETAILS_LENGTH]
    return SearchColumns(
        folded_name=folded_name,
        name_key=name_key(name),
        tag_keys=tuple(_tag_keys(tags)),
        folded_tags=folded_tags,
        folded_description=search_text(description),
        exact_terms=(exact_name(name), *map(exact_sku, skus), *map(exact_barcode, barcodes)),
        folded_details=folded_details,
        facet_values=facet_values(tags, attributes or {}, options),
        words=tuple(dict.fromkeys(_WORDS.findall(f"{folded_name} {folded_tags} {folded_details}"))),
    )


def _details(attributes: Mapping[str, str], options: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """The attributes with their names, and each value of an option once. The names of options say little."""
    for name, value in attributes.items():
        yield from (name, value)
    yield from dict.fromkeys(value for one in options for value in one.values())


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


def exact_barcode(barcode: str) -> str:
    """The term of a whole barcode."""
    return _limit(f"barcode={fold(barcode)}")


def _limit(term: str) -> str:
    return term.encode()[:MAX_LEXEME_BYTES].decode(errors="ignore")
