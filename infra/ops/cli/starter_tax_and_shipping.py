"""`souk starter-set`: loads tax rates and shipping zones to begin with, over HTTP, as an administrator would.

What would apply to the same place as a rate or a zone of the shop is left out. So a second run changes nothing, it
completes a run that was interrupted, and it never replaces what the merchant has set.
"""

import asyncio
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from infra.ops.cli.admin_client import AdminApi, ApiError, log_in_as_admin
from infra.ops.cli.options import DataOption, UrlOption

STARTER_SET_FILE = Path(__file__).with_name("starter_tax_and_shipping.toml")
PPM_PER_PERCENT = 10_000


@dataclass(frozen=True, slots=True)
class StarterSet:
    """The bodies of requests for tax rates and shipping zones, and the date of their figures."""

    as_of: str
    tax_rates: list[dict[str, Any]]
    shipping_zones: list[dict[str, Any]]


def starter_set(
    *,
    data: DataOption = None,
    url: UrlOption = "",
) -> None:
    """Load tax rates and shipping zones to begin with. Running it again changes nothing.

    It adds the standard VAT of each EU country, the sales taxes of Florida as an example of a state with counties, and
    shipping to the EU and the United States in EUR and USD. Other rates and zones of the shop stay as they are. From
    then on, the shop ships to the places of its zones only.

    Example: souk starter-set --url https://shop.example
    """
    wanted = read_starter_set()
    rates, zones = asyncio.run(_load(wanted, data, url))
    typer.echo(f"Created {rates} tax rates and {zones} shipping zones. What your shop has set stays.")
    typer.echo(f"The figures are those of {wanted.as_of}. Check them, and what your goods and your shop need, at")
    typer.echo("/api/v1/tax-rates, /api/v1/tax-rates/settings (whether prices include the tax) and")
    typer.echo("/api/v1/shipping-zones. The shop ships only to the places of its zones now.")


def read_starter_set() -> StarterSet:
    """Returns the set of the file beside this module."""
    content = tomllib.loads(STARTER_SET_FILE.read_text())
    rates = [*_vat(content["vat"], content["outside_vat"]), *_sales_taxes(content["florida"])]
    return StarterSet(content["as_of"], rates, [_zone(zone) for zone in content["zones"]])


async def _load(wanted: StarterSet, data: Path | None, url: str) -> tuple[int, int]:
    async with log_in_as_admin(data, url) as api:
        return await load_starter_set(api, wanted)


async def load_starter_set(api: AdminApi, wanted: StarterSet) -> tuple[int, int]:
    """Creates what the shop lacks; returns how many rates and zones that were.

    The zones come last: an interrupted run leaves a shop that still ships everywhere.
    """
    rates = [await _create(api, "/tax-rates", body, "tax_rate_overlaps") for body in wanted.tax_rates]
    zones = [await _create(api, "/shipping-zones", body, "shipping_place_taken") for body in wanted.shipping_zones]
    return sum(rates), sum(zones)


async def _create(api: AdminApi, path: str, body: Mapping[str, Any], exists: str) -> bool:
    """Returns whether it was created; False if the shop refuses it with the code `exists`."""
    try:
        await api.post(path, body)
    except ApiError as refusal:
        if refusal.code != exists:
            raise
        return False
    return True


def _vat(rates: Mapping[str, int], outside: Mapping[str, list[str]]) -> Iterator[dict[str, Any]]:
    for country, rate in rates.items():
        yield {"country": country, "rate_ppm": rate, "name": f"VAT {_percent(rate)} %"}
    for country, prefixes in outside.items():
        for prefix in prefixes:
            yield {
                "country": country,
                "postal_prefix": prefix,
                "rate_ppm": 0,
                "name": "Outside the EU's VAT area",
                "reason": "export",
            }


def _sales_taxes(state: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    name = f"Florida sales tax {_percent(state['state'])} %"
    for prefix in state["state_prefixes"]:
        yield {"country": "US", "postal_prefix": prefix, "rate_ppm": state["state"], "name": name}
    for county, tax in state["counties"].items():
        yield {
            "country": "US",
            "postal_prefix": tax["prefix"],
            "rate_ppm": tax["rate_ppm"],
            "name": f"{county} County surtax {_percent(tax['rate_ppm'])} %",
            "priority": 2,
        }


def _percent(rate_ppm: int) -> str:
    return f"{rate_ppm / PPM_PER_PERCENT:g}"


def _zone(zone: Mapping[str, Any]) -> dict[str, Any]:
    places = [{"country": country} for country in zone["countries"].split()]
    return {"name": zone["name"], "places": places, "methods": zone["methods"]}
