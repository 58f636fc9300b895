"""A customer's own addresses."""

from contracts.model import Empty, Listing, Page
from contracts.order import Address
from contracts.user import AddressOf, CustomersAddress, ReplaceAddress, SavedAddress
from infra.foundation import pagination as cursor
from infra.foundation.ids import new_id
from infra.messaging.rpc import Answer, Ask
from services.user.deps import Desk
from services.user.domain import accounts as domain
from services.user.store import addresses


async def list_addresses(desk: Desk, ask: Ask[Page]) -> Listing[SavedAddress]:
    """The oldest first."""
    async with desk.db.connection() as connection:
        found = await addresses.page(connection, ask.who.user_id, cursor.id_in(ask.body.after), ask.body.limit + 1)
    page, following = cursor.page(found, ask.body.limit)
    return Listing(items=page, next=following)


async def add_address(desk: Desk, ask: Ask[Address]) -> Answer[SavedAddress]:
    domain.require_country(ask.body)
    async with desk.db.transaction(ask) as tx:
        await addresses.require_room(tx.connection, ask.who.user_id)
        return tx.answer(await addresses.add(tx.connection, ask.who.user_id, new_id(), ask.body))


async def replace_address(desk: Desk, ask: Ask[ReplaceAddress]) -> Answer[SavedAddress]:
    domain.require_country(ask.body)
    async with desk.db.transaction(ask) as tx:
        return tx.answer(await addresses.replace(tx.connection, ask.who.user_id, ask.body.id, ask.body))


async def remove_address(desk: Desk, ask: Ask[AddressOf]) -> Answer[Empty]:
    async with desk.db.transaction(ask) as tx:
        await addresses.remove(tx.connection, ask.who.user_id, ask.body.id)
        return tx.answer(Empty())


async def address(desk: Desk, ask: Ask[CustomersAddress]) -> SavedAddress:
    """One of a customer's, for the order that is to go there."""
    async with desk.db.connection() as connection:
        return await addresses.one(connection, ask.body.user_id, ask.body.id)
