"""Administrators read and edit the tax rates, and how the shop charges tax."""

from uuid import UUID

from contracts.failure import NotFound
from contracts.model import Empty, ListPage, PageParams
from contracts.order import (
    ReplaceTaxRate,
    TaxRate,
    TaxRateFields,
    TaxRateOverlaps,
    TaxRateRef,
    TaxSettings,
)
from infra.database.postgres import Connection
from infra.foundation import pagination
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain.applicable_taxes import overlaps
from services.order.store import pricing_rules
from services.order.store import tax_rates as store

_TOLD = {"rate_ppm", "compound", "priority", "valid_from", "valid_to", "reason"}
"""The fields that the audit log shows as they were before a change."""


async def list_tax_rates(deps: OrderDeps, request: Request[PageParams]) -> ListPage[TaxRate]:
    """Lists tax rates, the oldest first."""
    after = pagination.decode_id_cursor(request.body.after)
    async with deps.db.connection() as connection:
        found = await store.list_page(connection, after, request.body.limit + 1)
    page, next_cursor = pagination.paginate(found, request.body.limit)
    return ListPage[TaxRate](items=page, next=next_cursor)


async def get_tax_rate(deps: OrderDeps, request: Request[TaxRateRef]) -> TaxRate:
    """Reads a tax rate."""
    async with deps.db.connection() as connection:
        return _require_found(await store.get(connection, request.body.id))


async def create_tax_rate(deps: OrderDeps, request: Request[TaxRateFields]) -> Reply[TaxRate]:
    """Creates a tax rate. Orders that are placed from now on are taxed by it."""
    async with deps.db.transaction(request) as tx:
        await pricing_rules.begin_change(tx.connection)
        return tx.reply(await _put(tx.connection, new_id(), request.body))


async def replace_tax_rate(deps: OrderDeps, request: Request[ReplaceTaxRate]) -> Reply[TaxRate]:
    """Replaces a tax rate. Orders that were placed before keep their taxes."""
    async with deps.db.transaction(request) as tx:
        await pricing_rules.begin_change(tx.connection)
        before = _require_found(await store.get(tx.connection, request.body.id))
        tx.audit_changes(before=before.model_dump(include=_TOLD))
        return tx.reply(await _put(tx.connection, before.id, request.body))


async def delete_tax_rate(deps: OrderDeps, request: Request[TaxRateRef]) -> Reply[Empty]:
    """Deletes a tax rate."""
    async with deps.db.transaction(request) as tx:
        await pricing_rules.begin_change(tx.connection)
        before = _require_found(await store.get(tx.connection, request.body.id))
        tx.audit_changes(before=before.model_dump(include=_TOLD))
        await store.delete(tx.connection, before.id)
        return tx.reply(Empty())


async def get_tax_settings(deps: OrderDeps, _request: Request[Empty]) -> TaxSettings:
    """Reads how the shop charges tax."""
    async with deps.db.connection() as connection:
        return await pricing_rules.get_settings(connection)


async def replace_tax_settings(deps: OrderDeps, request: Request[TaxSettings]) -> Reply[TaxSettings]:
    """Sets how the shop charges tax."""
    async with deps.db.transaction(request) as tx:
        await pricing_rules.begin_change(tx.connection)
        before = await pricing_rules.get_settings(tx.connection)
        await pricing_rules.replace_settings(tx.connection, request.body)
        tx.audit_changes(before=before.model_dump())
        return tx.reply(request.body)


async def _put(connection: Connection, rate_id: UUID, fields: TaxRateFields) -> TaxRate:
    """Stores the rate unless another one would apply in its place; the caller has begun a change of the rules."""
    for other in await store.list_others(connection, fields.country, rate_id):
        if overlaps(fields, other):
            raise TaxRateOverlaps(
                f"The rate {other.name} ({other.id}) has the same category, place and priority and is valid at the "
                "same time. Give one of the two another priority or other times."
            )
    return await store.put(connection, rate_id, fields)


def _require_found(rate: TaxRate | None) -> TaxRate:
    if rate is None:
        raise NotFound
    return rate
