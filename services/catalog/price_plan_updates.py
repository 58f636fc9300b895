"""Plans the prices of products anew. Every change of a variant's prices, by any path, goes through these functions."""

from collections.abc import Sequence
from uuid import UUID

from infra.database.postgres import Connection
from services.catalog.domain.price_plans import plan_prices
from services.catalog.domain.product_records import ProductRecord
from services.catalog.store import price_plans

BATCH_SIZE = 500
"""Products whose prices are planned with one set of statements."""


async def plan_products(connection: Connection, product_ids: Sequence[UUID], currency: str) -> None:
    """Plans the prices of products whose rows the transaction has locked, and adds what is new to their history."""
    for start in range(0, len(product_ids), BATCH_SIZE):
        batch = list(product_ids[start : start + BATCH_SIZE])
        at = await price_plans.read_now(connection)
        variants = await price_plans.read_variants(connection, batch, currency)
        plans = [plan_prices(variant, at) for variant in variants]
        await price_plans.store_plans(connection, batch, plans, at, currency)


def changes_prices(before: ProductRecord, after: ProductRecord) -> bool:
    """Whether a change of a product may change which prices are in force, or undo what its plan shows."""
    prices = [{variant.sku: variant.price for variant in product.variants} for product in (before, after)]
    return before.has_price_plan or before.publication != after.publication or prices[0] != prices[1]
