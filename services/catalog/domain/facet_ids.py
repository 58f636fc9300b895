"""The numbers that stand for attributes, options and tags, by which products are counted and filtered."""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from hashlib import blake2b

from services.catalog.domain.folded_text import tag_key

NAME_BITS, VALUE_BITS, KIND_BITS = 25, 37, 2


class ValueKind(IntEnum):
    """What a number stands for."""

    ATTRIBUTE = 0
    OPTION = 1
    TAG = 2


MAX_VALUES: Mapping[ValueKind, int] = {ValueKind.ATTRIBUTE: 100, ValueKind.OPTION: 100, ValueKind.TAG: 20}
"""How many of a kind a result shows: those of the most products."""


def facet_id(kind: ValueKind, name: str, value: str) -> int:
    """The number of an attribute, option or tag: hashes of its name and of its value, without case and encoding.

    Of two values, one in 10^11 has the number of the other; of two names, one in 10^7.
    """
    value_part = _hash(f"{tag_key(name)}\0{tag_key(value)}", VALUE_BITS)
    return facet_name_id(kind, name) << (VALUE_BITS + KIND_BITS) | value_part << KIND_BITS | kind


def facet_name_id(kind: ValueKind, name: str) -> int:
    """The part of a number that all values of an attribute or option share: the number, shifted by 39 bits."""
    unsigned = _hash(f"{kind.value}{tag_key(name)}", NAME_BITS)
    return unsigned - (1 << NAME_BITS) if unsigned >> (NAME_BITS - 1) else unsigned


def value_facet(kind: ValueKind, name: str) -> str:
    """The key of the facet of an attribute or option: `attribute.` or `option.` with the number of its name."""
    return f"{kind.name.lower()}.{facet_name_id(kind, name)}"


def facet_values(
    tags: Sequence[str], attributes: Mapping[str, str], options: Iterable[Mapping[str, str]]
) -> dict[int, tuple[str, str]]:
    """The names and values of a product's tags and attributes and of its variants' options, as they are written first.

    A tag has no name.
    """
    found: dict[int, tuple[str, str]] = {}
    for tag in tags:
        found.setdefault(facet_id(ValueKind.TAG, "", tag), ("", tag))
    for kind, texts in ((ValueKind.ATTRIBUTE, [attributes]), (ValueKind.OPTION, options)):
        for pairs in texts:
            for name, value in pairs.items():
                if value:
                    found.setdefault(facet_id(kind, name, value), (name, value))
    return found


def _hash(text: str, bits: int) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> (64 - bits)
