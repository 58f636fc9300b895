"""Which orders a list or a file holds: from the request, with what user and the database know about it."""

from datetime import UTC, datetime
from uuid import UUID

from contracts import user
from contracts.email_addresses import guest_order_spellings
from contracts.failure import Forbidden
from contracts.identity import Identity
from contracts.model import Timestamp
from contracts.order import OrderSearch
from contracts.user import AccountQuery
from infra.database.postgres import Connection
from services.order.deps import OrderDeps
from services.order.domain.order_numbers import parse_order_number
from services.order.store import queries
from services.order.store.queries import OrderEmail, OrderFilter

_MIN_TIME, _MAX_TIME = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


async def find_email(deps: OrderDeps, search: OrderSearch, identity: Identity) -> OrderEmail | None:
    """Asks user which account has the e-mail that is searched for. Only administrators may search for one."""
    if search.email is None:
        return None
    if not identity.is_admin:
        raise Forbidden
    account = await deps.rpc.request(user.FIND_ACCOUNT, AccountQuery(email=search.email))
    return OrderEmail(guest_order_spellings(search.email), account.user_id)


async def build_filter(
    connection: Connection, search: OrderSearch, identity: Identity, *, email: OrderEmail | None, after: UUID | None
) -> OrderFilter | None:
    """Returns the filter; None when no order can match, because the number is mistyped or the name has no word in it.

    Raises `Forbidden` for a customer who asks for the orders of another one.
    """
    if not identity.is_admin and search.user_id not in (None, identity.user_id):
        raise Forbidden
    serial = parse_order_number(search.number) if search.number is not None else None
    name_keys = await queries.find_name_keys(connection, search.name) if search.name is not None else []
    if (search.number is not None and serial is None) or (search.name is not None and not name_keys):
        return None
    return OrderFilter(
        user_id=search.user_id if identity.is_admin else identity.user_id,
        status=search.status,
        serial=serial,
        since=_storable(search.from_),
        until=_storable(search.to),
        after=after,
        email=email,
        keys=[*([queries.sku_key(search.sku)] if search.sku is not None else []), *name_keys],
    )


def _storable(at: Timestamp | None) -> Timestamp | None:
    """The nearest time that the database and the ids can hold. No order lies outside of that range."""
    return min(max(at, _MIN_TIME), _MAX_TIME) if at else None
