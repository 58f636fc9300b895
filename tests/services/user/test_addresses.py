"""Saved addresses of customers, and orders that ship to them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from contracts import user
from contracts.catalog import Product
from contracts.failure import InvalidRequest, NotFound, Unauthorized
from contracts.identity import Identity
from contracts.user import MAX_ADDRESSES, SavedAddress, TooManyAddresses
from infra.foundation.ids import new_id
from tests.services.user.conftest import Member, identity_of
from tests.support.http import ADDRESS, HttpClient, RegisteredCustomer, register_customer
from tests.support.rpc import RpcCaller

PARIS = {**ADDRESS, "city": "Paris", "postal_code": "75001", "country": "FR", "line2": "2e étage"}


async def list_addresses(rpc: RpcCaller, identity: Identity) -> list[SavedAddress]:
    found: list[SavedAddress] = (await rpc(user.LIST_ADDRESSES, identity=identity)).items
    return found


async def test_address_is_added_replaced_and_removed(rpc: RpcCaller, member: Member) -> None:
    identity = identity_of(member.session)
    home = await rpc(user.ADD_ADDRESS, ADDRESS, identity=identity)
    assert home.model_dump(exclude_none=True, exclude={"id"}) == ADDRESS
    moved = await rpc(user.REPLACE_ADDRESS, {**PARIS, "id": str(home.id)}, identity=identity)
    assert (moved.id, moved.city, moved.line2) == (home.id, "Paris", "2e étage")
    assert await list_addresses(rpc, identity) == [moved]
    await rpc(user.REMOVE_ADDRESS, {"id": str(home.id)}, identity=identity)
    assert await list_addresses(rpc, identity) == []


async def test_addresses_are_listed_in_pages(rpc: RpcCaller, member: Member) -> None:
    identity = identity_of(member.session)
    made = [await rpc(user.ADD_ADDRESS, {**ADDRESS, "name": f"Ada {n}"}, identity=identity) for n in range(5)]
    found, after = [], None
    while True:
        page = await rpc(user.LIST_ADDRESSES, {"limit": 2, "after": after}, identity=identity)
        found += page.items
        after = page.next
        if after is None:
            break
    assert found == made


async def test_addresses_of_other_customers_are_out_of_reach(
    rpc: RpcCaller, member: Member, new_customer: Callable[[], Identity]
) -> None:
    identity, stranger = identity_of(member.session), new_customer()
    home = await rpc(user.ADD_ADDRESS, ADDRESS, identity=identity)
    with pytest.raises(NotFound):
        await rpc(user.REPLACE_ADDRESS, {**PARIS, "id": str(home.id)}, identity=stranger)
    with pytest.raises(NotFound):
        await rpc(user.REMOVE_ADDRESS, {"id": str(home.id)}, identity=stranger)
    with pytest.raises(NotFound):
        await rpc(user.ADD_ADDRESS, ADDRESS, identity=stranger)
    with pytest.raises(Unauthorized):
        await rpc(user.LIST_ADDRESSES)
    assert await list_addresses(rpc, stranger) == []
    assert await list_addresses(rpc, identity) == [home]


@pytest.mark.parametrize(
    "changed",
    [
        {"country": "XX"},
        {"country": "EU"},
        {"country": "UK"},
        {"country": "ZZ"},
        {"postal_code": None},
        {"postal_code": ""},
        {"postal_code": "\u200b"},
        {"phone": "12"},
        {"phone": "020 7946 0018 ext."},
        {"name": "\u200b\u2060"},
        {"line1": "\u3164"},
        {"city": "\ufeff "},
        {"country": "GBR"},
        {"city": "London\r\nBcc: all@example.com"},
        {"phone": "; DROP TABLE address"},
        {"name": ""},
        {"line1": {"$gt": ""}},
        {"user_id": str(new_id())},
    ],
)
async def test_invalid_addresses_are_refused(rpc: RpcCaller, member: Member, changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        await rpc(user.ADD_ADDRESS, {**ADDRESS, **changed}, identity=identity_of(member.session))


async def test_address_without_a_postal_code_is_stored_and_shown(rpc: RpcCaller, member: Member) -> None:
    identity = identity_of(member.session)
    hong_kong = {"name": "Ada", "line1": "1 Queen's Road", "city": "Central", "country": "hk"}
    saved = await rpc(user.ADD_ADDRESS, hong_kong, identity=identity)
    assert (saved.country, saved.postal_code) == ("HK", None)
    assert await list_addresses(rpc, identity) == [saved]
    with_phone = {**hong_kong, "id": str(saved.id), "phone": "+852 2123 4567 ext. 89"}
    assert (await rpc(user.REPLACE_ADDRESS, with_phone, identity=identity)).phone == with_phone["phone"]


async def test_old_address_that_breaks_the_rules_can_still_be_read(
    rpc: RpcCaller, member: Member, database: Callable[[str], Awaitable[asyncpg.Connection]]
) -> None:
    identity = identity_of(member.session)
    saved = await rpc(user.ADD_ADDRESS, ADDRESS, identity=identity)
    old = "UPDATE address SET country = 'XX', phone = '----', name = $2, city = $2 WHERE id = $1"
    await (await database("user")).execute(old, saved.id, "\u200b")
    (found,) = await list_addresses(rpc, identity)
    assert (found.country, found.phone, found.city) == ("XX", "----", "\u200b")
    assert (await rpc(user.REPLACE_ADDRESS, {**PARIS, "id": str(saved.id)}, identity=identity)).country == "FR"


async def test_orders_take_addresses_by_the_same_rules(
    customer: RegisteredCustomer, new_product: Callable[..., Awaitable[Product]], admin_http: HttpClient
) -> None:
    sku = (await new_product()).variants[0].sku
    body = {"items": [{"sku": sku, "quantity": 1}]}
    for wrong, pointer in (
        ({"country": "XX"}, "country"),
        ({"country": "uk"}, "country"),
        ({"postal_code": ""}, "postal_code"),
        ({"phone": "tel"}, "phone"),
        ({"name": "\u2800"}, "name"),
    ):
        refused = await customer.http.post("/orders", {**body, "shipping_address": {**ADDRESS, **wrong}})
        assert refused.status == 422, refused.body
        assert [error["pointer"] for error in refused.json["errors"]] == [f"/shipping_address/{pointer}"]
    dubai = {"name": "Ada", "line1": "1 Sheikh Zayed Road", "city": "Dubai", "country": "ae", "phone": "04 123 4567"}
    placed = await customer.http.post("/orders", {**body, "shipping_address": dubai})
    assert placed.status == 201, placed.body
    shown = placed.json["shipping_address"]
    assert (shown["country"], shown["postal_code"]) == ("AE", None)
    path = f"/orders/{placed.json['id']}"
    refused = await admin_http.put(path, {"shipping_address": {**ADDRESS, "country": "EU"}})
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/shipping_address/country")
    changed = await admin_http.put(path, {"shipping_address": {**dubai, "country": "Hk"}})
    assert (changed.status, changed.json["shipping_address"]["country"]) == (200, "HK")


async def test_account_has_a_limit_of_addresses(rpc: RpcCaller, member: Member) -> None:
    identity = identity_of(member.session)
    results = await asyncio.gather(
        *(rpc(user.ADD_ADDRESS, ADDRESS, identity=identity) for _ in range(MAX_ADDRESSES + 3)), return_exceptions=True
    )
    assert sum(isinstance(result, TooManyAddresses) for result in results) == 3


async def test_order_ships_to_the_saved_address(
    customer: RegisteredCustomer, new_product: Callable[..., Awaitable[Product]]
) -> None:
    made = await customer.http.post("/users/profile/addresses", PARIS)
    assert made.status == 201
    product = await new_product()
    body = {"items": [{"sku": product.variants[0].sku, "quantity": 1}], "address_id": made.json["id"]}
    placed = await customer.http.post("/orders", body)
    assert placed.status == 201, placed.body
    path = f"/users/profile/addresses/{made.json['id']}"
    assert (await customer.http.put(path, ADDRESS)).status == 200
    assert (await customer.http.delete(path)).status == 204
    order = (await customer.http.get(f"/orders/{placed.json['id']}")).json
    assert {name: value for name, value in order["shipping_address"].items() if value is not None} == PARIS
    assert (await customer.http.post("/orders", body)).status == 404, "it is gone"
    both = await customer.http.post("/orders", {**body, "shipping_address": ADDRESS})
    assert both.status == 422


async def test_order_cannot_ship_to_the_address_of_another_customer(
    customer: RegisteredCustomer, new_product: Callable[..., Awaitable[Product]]
) -> None:
    made = await customer.http.post("/users/profile/addresses", ADDRESS)
    product = await new_product()
    body = {"items": [{"sku": product.variants[0].sku, "quantity": 1}], "address_id": made.json["id"]}
    other = await register_customer(customer.http)
    assert (await other.http.post("/orders", body)).status == 404
    guest = await customer.http.with_token(None).post("/orders", {**body, "email": "guest@example.com"})
    assert guest.status == 401
