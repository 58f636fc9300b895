"""The pricing rules: read with their version, and kept in the process until an order shows that they are old."""

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import TypeAdapter

from contracts.failure import Fail
from contracts.order import ShippingZone, TaxRate, TaxSettings
from infra.database.postgres import Connection, Database
from services.order.domain.applicable_taxes import TaxTable
from services.order.domain.pricing import PricingRules
from services.order.domain.shipping import ShippingTable

DecisionT = TypeVar("DecisionT")

_RATES = TypeAdapter(list[TaxRate])
_ZONES = TypeAdapter(list[ShippingZone])
_SETTINGS = "prices_include_tax, seller_country, oss, shipping_tax_category"
_LOAD = f"""
SELECT
    version, {_SETTINGS},
    (SELECT coalesce(json_agg(tax_rate ORDER BY id), '[]')::text FROM tax_rate) AS rates,
    (SELECT coalesce(json_agg(shipping_zone ORDER BY id), '[]')::text FROM shipping_zone) AS zones
FROM pricing_rules
"""  # noqa: S608 - constants
_BEGIN_CHANGE = "UPDATE pricing_rules SET version = version + 1"
_GET_VERSION = "SELECT version FROM pricing_rules"
_GET_SETTINGS = f"SELECT {_SETTINGS} FROM pricing_rules"  # noqa: S608 - constants
_REPLACE_SETTINGS = """
UPDATE pricing_rules SET
    prices_include_tax = $1, seller_country = $2, oss = $3, shipping_tax_category = $4
"""


class PricingRulesCache:
    """The pricing rules as this process knows them.

    They may be out of date: so an order that was priced by other rules than the current ones is not stored, and a
    refusal is decided again by rules that were just read.
    """

    def __init__(self) -> None:
        self._rules: PricingRules | None = None

    async def decide(self, db: Database, decision: Callable[[PricingRules], DecisionT]) -> DecisionT:
        """Returns what the decision returns; raises the `Fail` that it raises by the current rules."""
        rules = self._rules or await self._read(db)
        try:
            return decision(rules)
        except Fail:
            async with db.connection() as connection:
                if await connection.fetchval(_GET_VERSION) == rules.version:
                    raise
        return decision(await self._read(db))

    async def _read(self, db: Database) -> PricingRules:
        async with db.connection() as connection:
            self._rules = rules = await load(connection)
        return rules

    def forget(self) -> None:
        """Has the rules read again: an order showed that they are out of date."""
        self._rules = None


async def load(connection: Connection) -> PricingRules:
    """Returns the rules of one moment."""
    row: Any = await connection.fetchrow(_LOAD)
    return PricingRules(
        row["version"],
        _to_settings(row),
        TaxTable(_RATES.validate_json(row["rates"])),
        ShippingTable(_ZONES.validate_json(row["zones"])),
    )


async def begin_change(connection: Connection) -> None:
    """Makes a new version, and has other changes of the rules wait until the transaction ends."""
    await connection.execute(_BEGIN_CHANGE)


async def get_settings(connection: Connection) -> TaxSettings:
    """Returns the tax settings."""
    return _to_settings(await connection.fetchrow(_GET_SETTINGS))


async def replace_settings(connection: Connection, settings: TaxSettings) -> None:
    """Replaces the tax settings."""
    await connection.execute(
        _REPLACE_SETTINGS,
        settings.prices_include_tax,
        settings.seller_country,
        settings.oss,
        settings.shipping_tax_category,
    )


def _to_settings(row: Any) -> TaxSettings:
    return TaxSettings(**{name: row[name] for name in TaxSettings.model_fields})
