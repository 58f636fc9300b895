"""Postal addresses: the country must exist."""

import pycountry

from contracts.failure import FieldError, InvalidRequest
from contracts.order import Address


def require_country(address: Address) -> None:
    """Raises `InvalidRequest` for a country code that ISO 3166 does not list; the contract checks only the pattern."""
    if pycountry.countries.get(alpha_2=address.country) is None:
        detail = "is not an ISO 3166 country code, such as GB or US"
        raise InvalidRequest(errors=[FieldError(pointer="/country", detail=detail)])
