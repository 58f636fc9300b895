"""How orders are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from contracts.gift_cards import GiftCardPart
from contracts.money import Money
from contracts.order import GuestContact, OrderStatus, Payable
from infra.database.postgres import Connection
from services.order.domain.access import is_open_to_token
from services.order.domain.orders import OrderRecord
from services.order.store.records import COLUMNS, to_record

_FIND = f"SELECT {COLUMNS} FROM orders WHERE id = $1"  # noqa: S608 - constants
_LOCK = f"{_FIND} FOR UPDATE"
_STATUS = "SELECT status FROM orders WHERE id = $1"
_PAYABLES = """
SELECT id, user_id, email, status, total, currency, payment_method, gift_card_total, gift_card_hold_id FROM orders
WHERE id = ANY($1::uuid[])
"""
_GUEST = """
SELECT email, shipping_address ->> 'name' AS name FROM orders
WHERE id = $1 AND email IS NOT NULL AND (user_id IS NULL OR NOT $2)
"""
_PURCHASE = """
SELECT id FROM orders
WHERE user_id = $1 AND status IN ('paid', 'shipped', 'delivered', 'refunded') AND items @> $2::jsonb
    AND jsonb_path_exists(
        items, '$[*] ? (@.product_id == $id && !(@.cancelled == @.quantity))', jsonb_build_object('id', $3::text)
    )
ORDER BY id LIMIT 1
"""

_ID_SLACK_SECONDS = 1.0
"""The largest distance between the time in an order's id and its `created_at`."""


@dataclass(frozen=True, slots=True)
class OrderEmail:
    """An e-mail that orders are found by: its spellings in guests' orders, and the account that has it."""

    spellings: Sequence[str]
    account_id: UUID | None


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders a list holds; None means any. `after` is the last order of the page before."""

    user_id: UUID | None = None
    status: OrderStatus | None = None
    serial: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: UUID | None = None
    email: OrderEmail | None = None
    keys: Sequence[str] = ()
    """Keys that `sku_key` and `find_name_keys` return; an order must have all of them."""

    @property
    def min_id(self) -> UUID | None:
        """The lower bound of ids for `since`: ids begin with the time and have an index, `created_at` has none."""
        return _first_id_at(self.since, -_ID_SLACK_SECONDS) if self.since else None

    @property
    def max_id(self) -> UUID | None:
        """The upper bound of ids for `until`."""
        return _first_id_at(self.until, _ID_SLACK_SECONDS) if self.until else None


def _first_id_at(at: datetime, slack_seconds: float) -> UUID:
    """The smallest UUIDv7 of a moment: it begins with the milliseconds since 1970."""
    return UUID(int=int((at.timestamp() + slack_seconds) * 1000) << 80)


_CONDITIONS: Mapping[str, str] = MappingProxyType(
    {
        "user_id": "user_id = ${}",
        "status": "status = ${}",
        "serial": "serial = ${}",
        "since": "created_at >= ${}",
        "until": "created_at < ${}",
        "after": "id < ${}",
        "min_id": "id >= ${}",
        "max_id": "id < ${}",
    }
)


_EMAIL = "(lower(email) = ANY(${}::text[]) OR user_id = ${})"
# One key is read in the order of ids; the planner turns this into a join, because a key has an order once.
_KEY = "EXISTS (SELECT FROM order_search_key AS found WHERE found.key = ${} AND found.order_id = orders.id)"
_NAME_WORDS = "SELECT word FROM name_words($1) AS word ORDER BY length(word) DESC, word"


def sku_key(sku: str) -> str:
    """Returns what orders of this SKU are found by, as the function `order_search_keys` of the database makes it."""
    return f"sku {sku}"


async def find_name_keys(connection: Connection, name: str) -> list[str]:
    """Returns what orders with these words in a name or company are found by; nothing if there is no word in it."""
    return [f"name {row['word']}" for row in await connection.fetch(_NAME_WORDS, name)]


async def find(connection: Connection, order_id: UUID) -> OrderRecord | None:
    """Returns the order."""
    row = await connection.fetchrow(_FIND, order_id)
    return to_record(row) if row else None


async def lock(connection: Connection, order_id: UUID) -> OrderRecord | None:
    """Returns the order and locks its row until the transaction ends."""
    row = await connection.fetchrow(_LOCK, order_id)
    return to_record(row) if row else None


async def status_of(connection: Connection, order_id: UUID) -> OrderStatus | None:
    """Returns the status of the order."""
    status = await connection.fetchval(_STATUS, order_id)
    return OrderStatus(status) if status else None


async def list_newest(connection: Connection, order_filter: OrderFilter, limit: int) -> list[OrderRecord]:
    """Returns at most `limit` orders, the newest first: ids grow with the time."""
    where, values = conditions_of(order_filter, first_place=2)
    statement = f"SELECT {COLUMNS} FROM orders WHERE {where} ORDER BY id DESC LIMIT $1"  # noqa: S608 - constants
    return [to_record(row) for row in await connection.fetch(statement, limit, *values)]


def conditions_of(order_filter: OrderFilter, first_place: int) -> tuple[str, list[Any]]:
    """Returns the condition of the orders that match, with its parameters from `first_place` on, and their values."""
    given: list[tuple[str, tuple[Any, ...]]] = [
        (condition, (value,))
        for name, condition in _CONDITIONS.items()
        if (value := getattr(order_filter, name)) is not None
    ]
    if order_filter.email is not None:
        given.append((_EMAIL, (order_filter.email.spellings, order_filter.email.account_id)))
    given += [(_KEY, (key,)) for key in order_filter.keys]
    values = [value for _, some in given for value in some]
    places = iter(range(first_place, first_place + len(values)))
    conditions = [condition.format(*(next(places) for _ in some)) for condition, some in given]
    return " AND ".join(conditions) or "true", values


async def list_payables(connection: Connection, order_ids: Sequence[UUID], opened: Sequence[UUID]) -> list[Payable]:
    """Returns what payment needs to charge these orders; orders that do not exist are left out.

    `opened` are those whose token was sent.
    """
    return [
        Payable(
            order_id=row["id"],
            user_id=row["user_id"],
            status=OrderStatus(row["status"]),
            total=Money(amount=row["total"], currency=row["currency"]),
            payment_method=row["payment_method"],
            gift_cards=_gift_card_part(row),
            open_to_token=row["id"] in opened and is_open_to_token(row["user_id"], row["email"]),
        )
        for row in await connection.fetch(_PAYABLES, order_ids)
    ]


def _gift_card_part(row: Any) -> GiftCardPart | None:
    amount = Money(amount=row["gift_card_total"], currency=row["currency"])
    return GiftCardPart(hold_id=row["gift_card_hold_id"], amount=amount) if row["gift_card_hold_id"] else None


async def find_guest(connection: Connection, order_id: UUID, *, unclaimed: bool) -> GuestContact | None:
    """Returns the e-mail and name of the guest who placed the order; None for a customer's order.

    With `unclaimed` an order that a customer has claimed is a customer's; without it, mails from before still go out.
    """
    row = await connection.fetchrow(_GUEST, order_id, unclaimed)
    return GuestContact(email=row["email"], name=row["name"]) if row else None


async def find_purchase(connection: Connection, user_id: UUID, product_id: UUID) -> UUID | None:
    """Returns the customer's first order of the product that was paid; cancelled units do not count."""
    product = str(product_id)
    found: UUID | None = await connection.fetchval(_PURCHASE, user_id, [{"product_id": product}], product)
    return found
