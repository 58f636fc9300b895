"""Finding orders as an administrator: by SKU, name, e-mail and account; and exporting them as CSV."""

import csv
import io
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from contracts import headers, user
from contracts import order as contract
from contracts.catalog import Product
from contracts.failure import Forbidden, InvalidCursor
from contracts.identity import Identity, Role
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request
from services.order.domain.exported_order_rows import COLUMNS, format_decimal, join_fitting, order_line
from services.order.handlers import order_exports
from services.order.store import insert
from tests.services.order.conftest import OrderClient
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
Database = Callable[[str], Awaitable[asyncpg.Connection]]
COUNT_KEYS = "SELECT count(*) FROM order_search_key WHERE order_id = $1"


@pytest.fixture
async def lamp(new_product: NewProduct) -> Product:
    return await new_product(stock=50)


def named(name: str, **more: Any) -> dict[str, Any]:
    return {"shipping_address": {**ADDRESS, "name": name}, **more}


async def find(rpc: RpcCaller, identity: Identity, **filters: Any) -> list[Any]:
    return [order.id for order in (await rpc(contract.LIST, filters, identity=identity)).items]


async def test_orders_are_found_by_sku_and_words_of_names(
    order_client: OrderClient,
    rpc: RpcCaller,
    admin: Identity,
    new_customer: Callable[[], Identity],
    lamp: Product,
    new_product: NewProduct,
) -> None:
    """Whatever the case and the accents; a customer finds only own orders."""
    mark, buyer, sku, table = f"x{new_id().hex}", new_customer(), lamp.variants[0].sku, await new_product()
    first = await order_client.place(buyer, (lamp, 1), (table, 1), **named(f"Émilie {mark} du Châtelet"))
    billed = {**ADDRESS, "name": "Ada Lovelace", "company": f"{mark}-Werke GmbH"}
    second = await order_client.place(new_customer(), (lamp, 1), **named("Mary", billing_address=billed))
    for filters, found in (
        ({"sku": sku}, [second, first]),
        ({"sku": table.variants[0].sku}, [first]),
        ({"sku": sku.lower() + "x"}, []),
        ({"name": mark}, [second, first]),
        ({"name": f"chatelet {mark.upper()}"}, [first]),
        ({"name": f"WERKE, {mark}"}, [second]),
        ({"name": f"{mark} Mary", "sku": sku}, [second]),
        ({"name": mark, "status": "paid"}, []),
        ({"name": mark, "user_id": str(buyer.user_id)}, [first]),
        ({"name": mark, "number": first.number}, [first]),
        ({"name": "!?"}, []),
        ({"name": mark, "limit": 1, "after": None}, [second]),
    ):
        assert await find(rpc, admin, **filters) == [order.id for order in found], filters
    page = await rpc(contract.LIST, {"sku": sku, "limit": 1}, identity=admin)
    assert await find(rpc, admin, sku=sku, limit=1, after=page.next) == [first.id]
    assert await find(rpc, buyer, sku=sku) == [first.id]


async def test_keys_follow_a_changed_address_and_a_refused_order(
    order_client: OrderClient,
    rpc: RpcCaller,
    admin: Identity,
    new_customer: Callable[[], Identity],
    lamp: Product,
    database: Database,
) -> None:
    old, new = f"x{new_id().hex}", f"x{new_id().hex}"
    order = await order_client.place(new_customer(), (lamp, 1), **named(f"Ada {old}"))
    await rpc(contract.UPDATE, {"id": str(order.id), **named(f"Ada {new}")}, identity=admin)
    assert (await find(rpc, admin, name=old), await find(rpc, admin, name=new)) == ([], [order.id])
    orders = await database("order")
    transaction = orders.transaction()
    await transaction.start()
    assert await orders.fetchval(COUNT_KEYS, order.id)
    await insert.delete(orders, [order.id])  # type: ignore[arg-type]
    assert not await orders.fetchval(COUNT_KEYS, order.id)
    await transaction.rollback()


async def test_very_long_words_are_found_by_their_beginning(
    order_client: OrderClient, rpc: RpcCaller, admin: Identity, new_customer: Callable[[], Identity], lamp: Product
) -> None:
    """An index cannot hold them, and the order must be placed all the same: each of these letters becomes several."""
    word = "\u3300" * (200 - 64) + new_id().hex
    order = await order_client.place(new_customer(), (lamp, 1), **named(word))
    assert order.id in await find(rpc, admin, name=word)


async def test_orders_are_found_by_email(
    order_client: OrderClient, rpc: RpcCaller, admin: Identity, new_customer: Callable[[], Identity], lamp: Product
) -> None:
    """Those of the guest who gave it and those of the account that has it."""
    email = f"{new_id().hex}@example.com"
    guests = await order_client.place(None, (lamp, 1), email=email.title())
    assert await find(rpc, admin, email=email) == [guests.id]
    body = {"email": email, "password": "correct horse", "first_name": "Ada", "last_name": "Lovelace"}
    session = await rpc(user.REGISTER, body)
    customers = await order_client.place(Identity(user_id=session.user.id, role=Role.CUSTOMER), (lamp, 1))
    assert await find(rpc, admin, email=email.upper()) == [customers.id, guests.id]
    assert await find(rpc, admin, email=f"other-{email}") == []
    with pytest.raises(Forbidden):
        await find(rpc, new_customer(), email=email)


async def export(rpc: RpcCaller, admin: Identity, **filters: Any) -> tuple[list[dict[str, str]], int]:
    """The rows of the whole file, and how many pages it took."""
    pages: list[bytes] = []
    start: str | None = None
    while not pages or start is not None:
        body = {**filters, "page_start": start}
        page, page_headers = await rpc.raw(contract.EXPORT_ORDERS, body, identity=admin)
        assert page_headers[headers.CONTENT_TYPE].startswith("text/csv")
        pages.append(page)
        start = page_headers.get(headers.NEXT)
    return list(csv.DictReader(io.StringIO(b"".join(pages).decode(), newline=""))), len(pages)


async def test_export_has_a_row_for_each_order_that_matches(
    order_client: OrderClient,
    rpc: RpcCaller,
    admin: Identity,
    new_customer: Callable[[], Identity],
    lamp: Product,
    new_product: NewProduct,
) -> None:
    table, buyer = await new_product(price=5), new_customer()
    office = {**ADDRESS, "company": "Analytical Engines", "vat_id": "GB123456789"}
    formula = '=HYPERLINK("evil")'
    first = await order_client.place(buyer, (lamp, 1), (table, 3), **named(formula, billing_address=office))
    second = await order_client.place(None, (lamp, 1), email="ada@example.com")
    rows, _ = await export(rpc, admin, sku=lamp.variants[0].sku)
    assert [row["id"] for row in rows] == [str(second.id), str(first.id)]
    assert tuple(rows[0]) == COLUMNS
    assert (rows[0]["email"], rows[0]["user_id"], rows[0]["company"]) == ("ada@example.com", "", "")
    assert rows[1]["name"] == f"'{formula}"
    assert rows[1]["items"] == f"1 x {lamp.variants[0].sku}; 3 x {table.variants[0].sku}"
    cells = {name: rows[1][name] for name in ("number", "status", "company", "vat_id", "subtotal", "total", "currency")}
    assert cells == {
        "number": first.number,
        "status": "pending",
        "company": "Analytical Engines",
        "vat_id": "GB123456789",
        "subtotal": "20.14",
        "total": format_decimal(first.total.amount, "USD"),
        "currency": "USD",
    }
    assert await export(rpc, admin, number="S-1") == ([], 1)
    with pytest.raises(InvalidCursor):
        await rpc.raw(contract.EXPORT_ORDERS, {"page_start": "bm90IGEgY3Vyc29y"}, identity=admin)
    with pytest.raises(Forbidden):
        await rpc.raw(contract.EXPORT_ORDERS, {}, identity=buyer)


async def test_pages_of_an_export_leave_nothing_out(
    order_client: OrderClient,
    deps: Any,
    admin: Identity,
    new_customer: Callable[[], Identity],
    lamp: Product,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    placed = [await order_client.place(new_customer(), (lamp, 1)) for _ in range(5)]
    monkeypatch.setattr(order_exports, "PAGE_ORDERS", 2)
    content, start = b"", None
    for _ in range(3):
        body = contract.ExportOrders(sku=lamp.variants[0].sku, page_start=start)
        reply = await order_exports.export_orders(deps, Request(body, admin))
        content, start = content + reply.body, reply.next
    assert start is None
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [row["id"] for row in rows] == [str(order.id) for order in placed[::-1]]


def test_lines_are_cut_at_the_size_of_a_page() -> None:
    lines = [b"x" * 10 for _ in range(5)]
    assert join_fitting(lines, 35) == (b"x" * 30, 3)
    assert join_fitting(lines, 5) == (b"x" * 10, 1), "one line always fits"
    assert join_fitting([], 5) == (b"", 0)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(5, "EUR", "0.05"), (123456, "USD", "1234.56"), (12, "JPY", "12"), (1, "KWD", "0.001")],
)
def test_amounts_have_the_digits_of_their_currency(amount: int, currency: str, text: str) -> None:
    assert format_decimal(amount, currency) == text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1+1", "@SUM", "\tcell"])
def test_no_cell_is_a_formula(text: str) -> None:
    row = dict.fromkeys(COLUMNS, "") | dict.fromkeys(("subtotal", "discount", "shipping", "tax", "total"), 1)
    line = order_line({**row, "serial": 1, "currency": "USD", "name": text, "coupon": text}).decode()
    cells = next(csv.reader(io.StringIO(line, newline="")))
    assert [cells[COLUMNS.index(column)] for column in ("name", "coupon")] == [f"'{text}"] * 2
