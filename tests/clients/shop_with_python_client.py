"""Registers, signs in, fills a cart, orders and pays, with the client that openapi-python-client generates.

It runs in the environment of that client. `python shop_with_python_client.py URL SKU`
"""

import sys
import time
from uuid import UUID, uuid4

MAX_IMPORT_SECONDS = 1.0

started_at = time.perf_counter()
from souk_client import AuthenticatedClient, Client  # noqa: E402 - the import is measured
from souk_client.api.accounts import user_login, user_register  # noqa: E402
from souk_client.api.carts import cart_add  # noqa: E402
from souk_client.api.orders import order_get, order_pay, order_place  # noqa: E402
from souk_client.models import (  # noqa: E402
    AddCartItem,
    AddressInput,
    Cart,
    Login,
    Order,
    Payment,
    PayOrder,
    PlacedOrder,
    PlaceOrder,
    Problem,
    Register,
    SessionTokens,
)

IMPORT_SECONDS = time.perf_counter() - started_at


def main() -> None:
    """Runs the purchase; an assertion fails where the shop or the client does not do what it should."""
    base_url, sku = sys.argv[1:]
    assert IMPORT_SECONDS < MAX_IMPORT_SECONDS, f"the client took {IMPORT_SECONDS:.2f} s to import"
    email, password = f"python-{uuid4()}@example.com", str(uuid4())
    guest = Client(base_url=base_url)
    new_account = Register(email=email, password=password, first_name="Ada", last_name="Lovelace")
    registered = user_register.sync(client=guest, body=new_account)
    assert isinstance(registered, SessionTokens), registered
    assert registered.user.email == email
    login = user_login.sync(client=guest, body=Login(email=email, password=password))
    assert isinstance(login, SessionTokens), login
    order_and_pay(AuthenticatedClient(base_url=base_url, token=login.access_token), sku)
    sys.stdout.write(f"imported in {IMPORT_SECONDS:.2f} s\n")


def order_and_pay(customer: AuthenticatedClient, sku: str) -> None:
    """Orders two units of the SKU through the customer's cart and waits until the order is paid."""
    cart = cart_add.sync("mine", client=customer, body=AddCartItem(sku=sku, quantity=2))
    assert isinstance(cart, Cart), cart
    assert cart.items[0].quantity == 2
    address = AddressInput(
        name="Ada Lovelace", line1="12 St James's Square", city="London", postal_code="SW1Y 4JH", country="GB"
    )
    body = PlaceOrder(cart_id="mine", shipping_address=address)
    placed = order_place.sync(client=customer, body=body, idempotency_key=str(uuid4()))
    assert isinstance(placed, PlacedOrder), placed
    assert placed.status == "pending"
    paid = order_pay.sync(placed.id, client=customer, body=PayOrder(payment_method="sim_ok"))
    assert isinstance(paid, Payment), paid
    assert paid.order_id == placed.id
    while (status := read_order(customer, placed.id).status) != "paid":
        assert status == "pending", status
    refused = order_get.sync(uuid4(), client=customer)
    assert isinstance(refused, Problem), refused
    assert refused.code == "not_found"


def read_order(customer: AuthenticatedClient, order_id: UUID) -> Order:
    """Reads an order."""
    order = order_get.sync(order_id, client=customer)
    assert isinstance(order, Order), order
    return order


if __name__ == "__main__":
    main()
