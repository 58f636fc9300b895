"""How an order is shipped, and at which price."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.failure import FieldError, InvalidRequest
from contracts.order import (
    NO_SHIPPING,
    STANDARD_SHIPPING,
    NotDeliverable,
    ShippingMethod,
    ShippingMethodKind,
    ShippingPlace,
    ShippingZone,
    ShippingZoneFields,
)
from services.order.domain.places import Place, PlaceIndex, place_of


@dataclass(frozen=True, slots=True)
class ShippingChoice:
    """A method and its price for one order, in minor units."""

    method: str
    price: int


FREE_EVERYWHERE = ShippingChoice(STANDARD_SHIPPING, 0)
"""What a shop without shipping zones offers."""
NOTHING_TO_SHIP = ShippingChoice(NO_SHIPPING, 0)
"""What an order of downloads, vouchers and the like needs."""


class ShippingTable:
    """All shipping zones of the shop. A shop without any ships everywhere for free."""

    def __init__(self, zones: Iterable[ShippingZone]) -> None:
        self._zones = PlaceIndex((place_of_zone(place), zone) for zone in zones for place in zone.places)

    def methods_to(self, destination: Place, requested: str) -> list[ShippingMethod] | None:
        """Returns the methods that the customer may mean; None if everything is free.

        Raises `NotDeliverable` if nothing ships there, and `InvalidRequest` if the requested method does not.
        """
        if not self._zones:
            if requested != STANDARD_SHIPPING:
                raise _method_unknown([STANDARD_SHIPPING])
            return None
        zone = next(self._zones.find(destination), None)
        active = [method for method in zone.methods if method.active] if zone else []
        if not active:
            raise NotDeliverable(f"The shop does not ship to this address in {destination.country}.")
        named = [method for method in active if method.code == requested]
        if not named and requested != STANDARD_SHIPPING:
            raise _method_unknown([method.code for method in active])
        return named or active

    def choose(
        self, destination: Place, requested: str, subtotal: int, weight_grams: int, currency: str
    ) -> ShippingChoice:
        """Returns the cheapest of the methods that the customer may mean, with its price for this order.

        Raises `NotDeliverable` if none of them has a price for it, and as `methods_to` does.
        """
        methods = self.methods_to(destination, requested)
        if methods is None:
            return FREE_EVERYWHERE
        choices = [
            ShippingChoice(method.code, price)
            for method in methods
            if (price := price_of(method, subtotal, weight_grams, currency)) is not None
        ]
        if not choices:
            raise NotDeliverable(
                f"No shipping method to {destination.country} has a price in {currency} for this order."
            )
        return min(choices, key=lambda choice: choice.price)


def price_of(method: ShippingMethod, subtotal: int, weight_grams: int, currency: str) -> int | None:
    """Returns what the method costs for an order; None if it is not offered. The subtotal is that after discounts."""
    measure = weight_grams if method.kind is ShippingMethodKind.WEIGHT else subtotal
    bands = [band for band in method.prices if band.price.currency == currency and band.contains(measure)]
    if not bands:
        return None
    is_free = any(money.currency == currency and subtotal >= money.amount for money in method.free_over)
    return 0 if is_free else bands[0].price.amount


def place_of_zone(place: ShippingPlace) -> Place:
    """Returns the place in the form in which places are compared."""
    return place_of(place.country, place.region, place.postal_prefix)


def find_taken_place(fields: ShippingZoneFields, others: Iterable[ShippingZone]) -> tuple[int, str] | None:
    """Returns the position of a place that the zone has twice or another zone has, and that zone's name."""
    taken = {place_of_zone(place): zone.name for zone in others for place in zone.places}
    for position, place in enumerate(map(place_of_zone, fields.places)):
        if place in taken:
            return position, taken[place]
        taken[place] = fields.name
    return None


def _method_unknown(codes: Sequence[str]) -> InvalidRequest:
    detail = f"Send one of the shipping methods to this address: {', '.join(codes)}."
    return InvalidRequest(errors=[FieldError(pointer="/shipping_method", detail=detail)])
