"""For every operation, a request on the owner's resources that succeeds if the caller is allowed."""

from typing import Any

from contracts import cart, notification, order, payment, user
from contracts.access import CallerKind
from contracts.event_feed import LIST_EVENTS
from contracts.notification import NotificationKind
from contracts.operation import AnyOperation
from contracts.registry import AUDIT_LOGS
from edge.openapi.request_examples import REQUEST_EXAMPLES
from infra.foundation.ids import new_id
from tests.access.catalog_requests import CATALOG_REQUESTS
from tests.access.fixtures import AccessFixtures
from tests.access.pricing_requests import PRICING_REQUESTS
from tests.access.sample_request import RequestFactory, SampleRequest, named, plain
from tests.support.http import ADDRESS, register_customer


async def _register(_fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest(body={**REQUEST_EXAMPLES[user.REGISTER], "email": f"{new_id().hex}@example.com"})


async def _login(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest(body={"email": fixtures.owner.email, "password": fixtures.owner.password})


async def _refresh(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest(body={"refresh_token": (await register_customer(fixtures.http)).session["refresh_token"]})


async def _forgot(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest(body={"email": fixtures.owner.email})


async def _reset(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    email = (await register_customer(fixtures.http)).email
    await fixtures.http.post("/auth/password/forgot", {"email": email})
    token = await fixtures.mailed_token(email, NotificationKind.RESET_PASSWORD)
    return SampleRequest(body={"token": token, "password": "another correct horse"})


async def _verify(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    email = (await register_customer(fixtures.http)).email
    return SampleRequest(body={"token": await fixtures.mailed_token(email, NotificationKind.VERIFY_EMAIL)})


async def _change_password(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
    customer = fixtures.customer_for(caller) or fixtures.owner
    return SampleRequest(body={"current_password": customer.password, "new_password": customer.password})


async def _start_totp(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
    customer = fixtures.customer_for(caller) or fixtures.owner
    await fixtures.remove_totp(customer)
    return SampleRequest(body={"password": customer.password})


async def _confirm_totp(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
    return SampleRequest(
        body={"code": await fixtures.unconfirmed_totp_code(fixtures.customer_for(caller) or fixtures.owner)}
    )


async def _with_totp(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
    return SampleRequest(body={"code": await fixtures.totp_code(fixtures.customer_for(caller) or fixtures.owner)})


async def _disable_totp(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
    customer = fixtures.customer_for(caller) or fixtures.owner
    return SampleRequest(body={"password": customer.password, "code": await fixtures.totp_code(customer)})


async def _leave(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
    """Sent by a user who registered only for this."""
    one = await register_customer(fixtures.http)
    consent = {"password": one.password}
    if caller is not CallerKind.ADMIN:
        return SampleRequest(body=consent, sender=one.http)
    promoted = await fixtures.admin.http.put(f"/users/{one.user['id']}", {"role": "admin"})
    assert promoted.status == 200, promoted.body
    response = await fixtures.http.post("/auth/login", {"email": one.email, "password": one.password})
    return SampleRequest(body=consent, sender=fixtures.http.with_token(response.json["access_token"]))


async def _erasure(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    one = await register_customer(fixtures.http)
    closed = await one.http.delete("/users/profile", json={"password": one.password})
    return SampleRequest({"id": closed.json["id"]})


async def _user(fixtures: AccessFixtures) -> str:
    return str((await register_customer(fixtures.http)).user["id"])


async def _cart(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    cart_id, _ = await fixtures.create_cart()
    return SampleRequest({"id": cart_id})


async def _cart_line(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    cart_id, sku = await fixtures.create_cart()
    return SampleRequest({"id": cart_id, "sku": sku}, {"quantity": 2})


async def _cart_line_name(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    cart_id, sku = await fixtures.create_cart()
    return SampleRequest({"id": cart_id, "sku": sku})


async def _cart_new_line(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    cart_id, sku = await fixtures.create_cart()
    return SampleRequest({"id": cart_id}, {"sku": sku, "quantity": 1})


async def _cart_coupon(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    cart_id, _ = await fixtures.create_cart()
    coupon = await fixtures.admin.http.get(f"/coupons/{await fixtures.create_coupon()}")
    return SampleRequest({"id": cart_id}, {"code": coupon.json["code"]})


async def _merge(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest(body={"cart_id": await fixtures.create_guest_cart()})


def _place(**where: Any) -> dict[str, Any]:
    return {"shipping_address": ADDRESS, "payment_method": "sim_ok", "email": "ada@example.com", **where}


async def _place_items(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest(body=_place(items=[{"sku": await fixtures.create_sku(), "quantity": 1}]))


async def _place_cart(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    cart_id, _ = await fixtures.create_cart()
    return SampleRequest(body=_place(cart_id=cart_id))


async def _place_to(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    lines = [{"sku": await fixtures.create_sku(), "quantity": 1}]
    return SampleRequest(
        body={"items": lines, "address_id": await fixtures.create_address(), "email": "ada@example.com"}
    )


def _order(body: Any = None) -> RequestFactory:
    """A request about an order of the owner, or, for a guest, about one of theirs."""

    async def made(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
        if caller is CallerKind.GUEST:
            guest_order = await fixtures.create_guest_order()
            return SampleRequest({"id": guest_order.id}, body, order_token=guest_order.token)
        return SampleRequest({"id": await fixtures.create_order()}, body)

    return made


async def _cancelled_order(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
    """A cancelled order, whose event stream has an end."""
    request = await _order()(fixtures, caller)
    http = fixtures.http.with_order_token(request.order_token) if request.order_token else fixtures.owner.http
    cancelled = await http.post(f"/orders/{request.path['id']}/cancel", {})
    assert cancelled.status == 200, cancelled.body
    return request


async def _look_up(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    placed = await fixtures.owner.http.get(f"/orders/{await fixtures.create_order()}")
    return SampleRequest(body={"number": placed.json["number"], "email": fixtures.owner.email})


def _invoiced_order(**path: str) -> RequestFactory:
    """A request about an order with an invoice and a credit note."""

    async def made(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
        order = await fixtures.credited_order(of_guest=caller is CallerKind.GUEST)
        return SampleRequest({"id": order.id, **path}, order_token=order.token)

    return made


async def _create_payment(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
    if caller is CallerKind.GUEST:
        guest_order = await fixtures.create_guest_order()
        body = {"order_id": guest_order.id, "payment_method": "sim_ok"}
        return SampleRequest(body=body, order_token=guest_order.token)
    return SampleRequest(body={"order_id": await fixtures.create_order(), "payment_method": "sim_ok"})


async def _list_payments(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
    if caller is CallerKind.GUEST:
        guest_order, _ = await fixtures.create_guest_payment()
        return SampleRequest(query=f"?order_id={guest_order.id}", order_token=guest_order.token)
    return SampleRequest(query="?limit=100")


async def _payment(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
    if caller is CallerKind.GUEST:
        guest_order, payment = await fixtures.create_guest_payment()
        return SampleRequest({"id": payment["id"]}, order_token=guest_order.token)
    return SampleRequest({"id": (await fixtures.create_payment())["id"]})


async def _refund(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest({"id": (await fixtures.create_payment())["id"]}, {"amount": 1, "reason": "arrived late"})


async def _confirm(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
    token = ""
    if caller is CallerKind.GUEST:
        guest_order, waiting = await fixtures.create_guest_payment("sim_action", "requires_action")
        token = guest_order.token
    else:
        waiting = await fixtures.create_payment("sim_action", "requires_action")
    return SampleRequest({"id": waiting["id"]}, {"client_secret": waiting["client_secret"]}, order_token=token)


REQUESTS: dict[AnyOperation, RequestFactory] = {
    user.REGISTER: _register,
    user.LOGIN: _login,
    user.REFRESH: _refresh,
    user.LOGOUT: _refresh,
    user.FORGOT_PASSWORD: _forgot,
    user.RESET_PASSWORD: _reset,
    user.VERIFY_EMAIL: _verify,
    user.REQUEST_VERIFICATION: plain({}),
    user.PROFILE: plain(),
    user.UPDATE_PROFILE: plain(REQUEST_EXAMPLES[user.UPDATE_PROFILE]),
    user.CHANGE_PASSWORD: _change_password,
    user.START_TOTP: _start_totp,
    user.CONFIRM_TOTP: _confirm_totp,
    user.RENEW_RECOVERY_CODES: _with_totp,
    user.DISABLE_TOTP: _disable_totp,
    user.EXPORT: plain(),
    user.ERASE: _leave,
    user.ERASURE: _erasure,
    user.LIST_SESSIONS: plain(),
    user.END_SESSION: named(AccessFixtures.create_session),
    user.LIST_ADDRESSES: plain(),
    user.ADD_ADDRESS: plain(ADDRESS),
    user.REPLACE_ADDRESS: named(AccessFixtures.create_address, ADDRESS),
    user.REMOVE_ADDRESS: named(AccessFixtures.create_address),
    user.LIST_USERS: plain(query="?limit=1"),
    user.GET_USER: named(_user),
    user.UPDATE_USER: named(_user, {"first_name": "Augusta", "last_name": "King"}),
    user.BAN: named(_user, {}),
    user.UNBAN: named(_user, {}),
    user.REMOVE_TOTP: named(_user),
    user.LIST_API_KEYS: plain(query="?limit=1"),
    user.MAKE_API_KEY: plain(REQUEST_EXAMPLES[user.MAKE_API_KEY]),
    user.REVOKE_API_KEY: named(AccessFixtures.create_api_key),
    user.JWKS: plain(),
    **CATALOG_REQUESTS,
    cart.CREATE: plain({}),
    cart.GET: _cart,
    cart.CLEAR: _cart,
    cart.ADD: _cart_new_line,
    cart.SET: _cart_line,
    cart.REMOVE: _cart_line_name,
    cart.SET_COUPON: _cart_coupon,
    cart.REMOVE_COUPON: _cart,
    cart.MERGE: _merge,
    order.PLACE: _place_items,
    order.LIST: plain(query="?limit=100"),
    order.GET: _order(),
    order.CANCEL: _order({}),
    order.PAY: _order({"payment_method": "sim_ok"}),
    order.UPDATE: _order({"shipping_address": ADDRESS}),
    order.EXPORT_ORDERS: plain(query="?sku=no-such-sku"),
    order.ADD_NOTE: _order({"text": "The parcel left a day late."}),
    order.LOOK_UP: _look_up,
    order.CLAIM: named(AccessFixtures.create_claimable_order, {}),
    order.GET_INVOICE: _invoiced_order(),
    order.GET_CREDIT_NOTE: _invoiced_order(n="1"),
    order.CREATE_FULFILMENT: named(AccessFixtures.create_paid_order, {}),
    order.UPDATE_FULFILMENT: named(AccessFixtures.create_fulfilment, {"status": "delivered"}),
    order.FOLLOW: _cancelled_order,
    order.CREATE_EVENT_STREAM_TICKET: _order({}),
    **PRICING_REQUESTS,
    payment.CREATE: _create_payment,
    payment.LIST: _list_payments,
    payment.GET: _payment,
    payment.CONFIRM: _confirm,
    payment.REFUND: _refund,
    notification.LIST: plain(query="?limit=100"),
    LIST_EVENTS: plain(query="?limit=1"),
    **{operation: plain(query="?limit=1") for operation in AUDIT_LOGS.values()},
}

REQUESTS_BY_FIELD = {(order.PLACE, "cart_id"): _place_cart, (order.PLACE, "address_id"): _place_to}
"""Requests that name a resource in an optional field, by operation and field."""
