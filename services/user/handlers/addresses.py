"""The addresses of a customer's account."""

from contracts.model import Empty, ListPage, PageParams
from contracts.order import AddressInput
from contracts.user import AddressRef, CustomerAddressRef, ReplaceAddress, SavedAddress
from infra.foundation.ids import new_id
from infra.foundation.pagination import decode_id_cursor, paginate
from infra.messaging.rpc_client import Reply, Request
from services.user.deps import UserDeps
from services.user.store import addresses


async def list_addresses(deps: UserDeps, request: Request[PageParams]) -> ListPage[SavedAddress]:
    """Returns the caller's addresses, oldest first."""
    body = request.body
    async with deps.db.connection() as connection:
        found = await addresses.page(connection, request.user.user_id, decode_id_cursor(body.after), body.limit + 1)
    page, next_cursor = paginate(found, body.limit)
    return ListPage(items=page, next=next_cursor)


async def add_address(deps: UserDeps, request: Request[AddressInput]) -> Reply[SavedAddress]:
    """Saves an address."""
    async with deps.db.transaction(request) as tx:
        await addresses.require_capacity(tx.connection, request.user.user_id)
        return tx.reply(await addresses.add(tx.connection, request.user.user_id, new_id(), request.body))


async def replace_address(deps: UserDeps, request: Request[ReplaceAddress]) -> Reply[SavedAddress]:
    """Replaces one of the caller's addresses."""
    async with deps.db.transaction(request) as tx:
        return tx.reply(await addresses.replace(tx.connection, request.user.user_id, request.body.id, request.body))


async def remove_address(deps: UserDeps, request: Request[AddressRef]) -> Reply[Empty]:
    """Deletes one of the caller's addresses."""
    async with deps.db.transaction(request) as tx:
        await addresses.remove(tx.connection, request.user.user_id, request.body.id)
        return tx.reply(Empty())


async def get_address(deps: UserDeps, request: Request[CustomerAddressRef]) -> SavedAddress:
    """Returns an address of the given customer, for the order that ships to it."""
    async with deps.db.connection() as connection:
        return await addresses.get(connection, request.body.user_id, request.body.id)
