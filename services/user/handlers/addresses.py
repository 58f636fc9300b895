"""A customer's own addresses."""

from contracts.model import Empty, ListPage, PageParams
from contracts.order import Address
from contracts.user import AddressRef, CustomerAddressRef, ReplaceAddress, SavedAddress
from infra.foundation import pagination as cursor
from infra.foundation.ids import new_id
from infra.messaging.rpc import Reply, Request
from services.user.deps import UserDeps
from services.user.domain import accounts as domain
from services.user.store import addresses


async def list_addresses(desk: UserDeps, ask: Request[PageParams]) -> ListPage[SavedAddress]:
    """The oldest first."""
    async with desk.db.connection() as connection:
        found = await addresses.page(
            connection, ask.user.user_id, cursor.decode_id_cursor(ask.body.after), ask.body.limit + 1
        )
    page, following = cursor.paginate(found, ask.body.limit)
    return ListPage(items=page, next=following)


async def add_address(desk: UserDeps, ask: Request[Address]) -> Reply[SavedAddress]:
    domain.require_country(ask.body)
    async with desk.db.transaction(ask) as tx:
        await addresses.require_capacity(tx.connection, ask.user.user_id)
        return tx.reply(await addresses.add(tx.connection, ask.user.user_id, new_id(), ask.body))


async def replace_address(desk: UserDeps, ask: Request[ReplaceAddress]) -> Reply[SavedAddress]:
    domain.require_country(ask.body)
    async with desk.db.transaction(ask) as tx:
        return tx.reply(await addresses.replace(tx.connection, ask.user.user_id, ask.body.id, ask.body))


async def remove_address(desk: UserDeps, ask: Request[AddressRef]) -> Reply[Empty]:
    async with desk.db.transaction(ask) as tx:
        await addresses.remove(tx.connection, ask.user.user_id, ask.body.id)
        return tx.reply(Empty())


async def get_address(desk: UserDeps, ask: Request[CustomerAddressRef]) -> SavedAddress:
    """One of a customer's, for the order that is to go there."""
    async with desk.db.connection() as connection:
        return await addresses.get(connection, ask.body.user_id, ask.body.id)
