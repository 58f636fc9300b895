"""Places: what tax rates and shipping zones are for. Of those that contain an address, the most specific one counts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from contracts.order import Address

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Place:
    """A country, with a region or a postal prefix of part of it; all empty for everywhere. Also an address's place."""

    country: str
    region: str = ""
    postal_code: str = ""


EVERYWHERE = Place("")


def place_of(country: str | None, region: str | None, postal_code: str | None) -> Place:
    """Returns the place in the form in which places are compared: no case, and no spaces or hyphens in postal codes."""
    folded = "".join(char for char in (postal_code or "").upper() if char.isalnum())
    return Place(country or "", " ".join((region or "").casefold().split()), folded)


def destination_of(address: Address) -> Place:
    """Returns the place of an address."""
    return place_of(address.country, address.region, address.postal_code)


class PlaceIndex(Generic[ItemT]):
    """Finds what belongs to the places that contain an address, in the time that its postal code takes."""

    def __init__(self, items: Iterable[tuple[Place, ItemT]]) -> None:
        self._by_prefix: dict[tuple[str, str], list[tuple[str, ItemT]]] = {}
        for place, item in sorted(items, key=lambda entry: entry[0].region == ""):
            self._by_prefix.setdefault((place.country, place.postal_code), []).append((place.region, item))

    def __bool__(self) -> bool:
        return bool(self._by_prefix)

    def find(self, destination: Place) -> Iterator[ItemT]:
        """Yields what belongs to it, the most specific first: the longest postal prefix, then a region."""
        for length in range(len(destination.postal_code), -1, -1):
            prefix = destination.postal_code[:length]
            for region, item in self._by_prefix.get((destination.country, prefix), ()):
                if region in ("", destination.region):
                    yield item
        yield from (item for _, item in self._by_prefix.get(("", ""), ()))
