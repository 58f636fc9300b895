"""Addresses that customers keep, and orders that name one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import user
from contracts.catalog import Product
from contracts.failure import InvalidRequest, NotFound, Unauthorized
from contracts.identity import Identity
from contracts.user import MAX_ADDRESSES, SavedAddress, TooManyAddresses
from infra.foundation.ids import new_id
from tests.services.user.conftest import Member, identity_of
from tests.support.http import ADDRESS, RegisteredCustomer, register_customer
from tests.support.rpc import RpcCaller

PARIS = {**ADDRESS, "city": "Paris", "postal_code": "75001", "country": "FR", "line2": "2e étage"}


async def kept(ask: RpcCaller, who: Identity) -> list[SavedAddress]:
    found: list[SavedAddress] = (await ask(user.LIST_ADDRESSES, identity=who)).items
    return found


async def test_an_address_is_kept_replaced_and_removed(ask: RpcCaller, member: Member) -> None:
    who = identity_of(member.session)
    home = await ask(user.ADD_ADDRESS, ADDRESS, identity=who)
    assert home.model_dump(exclude_none=True, exclude={"id"}) == ADDRESS
    moved = await ask(user.REPLACE_ADDRESS, {**PARIS, "id": str(home.id)}, identity=who)
    assert (moved.id, moved.city, moved.line2) == (home.id, "Paris", "2e étage")
    assert await kept(ask, who) == [moved]
    await ask(user.REMOVE_ADDRESS, {"id": str(home.id)}, identity=who)
    assert await kept(ask, who) == []


async def test_addresses_come_page_by_page(ask: RpcCaller, member: Member) -> None:
    who = identity_of(member.session)
    made = [await ask(user.ADD_ADDRESS, {**ADDRESS, "name": f"Ada {n}"}, identity=who) for n in range(5)]
    found, after = [], None
    while True:
        page = await ask(user.LIST_ADDRESSES, {"limit": 2, "after": after}, identity=who)
        found += page.items
        after = page.next
        if after is None:
            break
    assert found == made


async def test_nobody_touches_the_address_of_another(
    ask: RpcCaller, member: Member, new_customer: Callable[[], Identity]
) -> None:
    who, stranger = identity_of(member.session), new_customer()
    home = await ask(user.ADD_ADDRESS, ADDRESS, identity=who)
    with pytest.raises(NotFound):
        await ask(user.REPLACE_ADDRESS, {**PARIS, "id": str(home.id)}, identity=stranger)
    with pytest.raises(NotFound):
        await ask(user.REMOVE_ADDRESS, {"id": str(home.id)}, identity=stranger)
    with pytest.raises(NotFound):
        await ask(user.ADD_ADDRESS, ADDRESS, identity=stranger)
    with pytest.raises(Unauthorized):
        await ask(user.LIST_ADDRESSES)
    assert await kept(ask, stranger) == []
    assert await kept(ask, who) == [home]


@pytest.mark.parametrize(
    "changed",
    [
        {"country": "XX"},
        {"country": "EU"},
        {"country": "gb"},
        {"country": "GBR"},
        {"city": "London\r\nBcc: all@example.com"},
        {"phone": "; DROP TABLE address"},
        {"name": ""},
        {"line1": {"$gt": ""}},
        {"user_id": str(new_id())},
    ],
)
async def test_what_is_no_address_is_refused(ask: RpcCaller, member: Member, changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        await ask(user.ADD_ADDRESS, {**ADDRESS, **changed}, identity=identity_of(member.session))


async def test_an_account_has_room_for_so_many(ask: RpcCaller, member: Member) -> None:
    who = identity_of(member.session)
    outcomes = await asyncio.gather(
        *(ask(user.ADD_ADDRESS, ADDRESS, identity=who) for _ in range(MAX_ADDRESSES + 3)), return_exceptions=True
    )
    assert sum(isinstance(outcome, TooManyAddresses) for outcome in outcomes) == 3


async def test_an_order_goes_to_the_address_it_names(
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


async def test_an_order_does_not_go_to_the_address_of_another(
    customer: RegisteredCustomer, new_product: Callable[..., Awaitable[Product]]
) -> None:
    made = await customer.http.post("/users/profile/addresses", ADDRESS)
    product = await new_product()
    body = {"items": [{"sku": product.variants[0].sku, "quantity": 1}], "address_id": made.json["id"]}
    other = await register_customer(customer.http)
    assert (await other.http.post("/orders", body)).status == 404
    guest = await customer.http.with_token(None).post("/orders", {**body, "email": "guest@example.com"})
    assert guest.status == 401
