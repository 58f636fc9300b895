"""A browser follows an order through Nginx with a ticket, until the account is banned."""

import asyncio
from collections.abc import Awaitable, Callable

from contracts.catalog import Product
from infra.ops.devstack.stack import Stack
from tests.support import data_scan
from tests.support.data_scan import ScanTerms
from tests.support.http import ADDRESS, HttpClient, RegisteredCustomer
from tests.support.server_sent_events import event_stream


async def test_a_ticket_opens_one_stream_which_a_ban_ends(
    http: HttpClient,
    customer: RegisteredCustomer,
    admin_http: HttpClient,
    new_product: Callable[..., Awaitable[Product]],
    stack: Stack,
) -> None:
    items = [{"sku": (await new_product()).variants[0].sku, "quantity": 1}]
    placed = await customer.http.post("/orders", {"items": items, "shipping_address": ADDRESS})
    path = f"/orders/{placed.json['id']}/events"
    created = await customer.http.post(f"{path}/ticket", {})
    assert created.status == 201, created.body
    assert created.headers["Cache-Control"] == "no-store"
    ticket = created.json["ticket"]
    async with event_stream(http, f"{path}?ticket={ticket}", Accept_Encoding="gzip") as stream:
        first = await stream.next()
        assert first is not None
        assert (first.name, first.data["order_version"]) == ("pending", 1)
        assert (await http.get(f"{path}?ticket={ticket}")).status == 404
        paid = await customer.http.post(f"/orders/{placed.json['id']}/pay", {"payment_method": "sim_ok"})
        assert paid.status == 202, paid.body
        assert await stream.take(1) == ["paid"]
        async with asyncio.timeout(2):
            assert (await admin_http.post(f"/users/{customer.user['id']}/ban", {})).status == 200
            assert await stream.rest() == []
    assert (await customer.http.get(path)).status == 401
    assert data_scan.search_files(stack, ScanTerms([ticket])) == []
