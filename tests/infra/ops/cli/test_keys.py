"""`souk keys rotate` against the running shop."""

from infra.ops.devstack.stack import Stack
from tests.infra.ops.cli.test_import_products import souk
from tests.support.http import RegisteredCustomer, register_customer


async def test_another_key_signs_and_nobody_is_signed_out(stack: Stack, customer: RegisteredCustomer) -> None:
    code, told = await souk("keys", "rotate", "--data", str(stack.options.data))
    assert code == 0, told
    assert "signs in 90 s" in told
    assert (await customer.http.get("/users/profile")).status == 200
    newcomer = await register_customer(customer.http)
    assert (await newcomer.http.get("/users/profile")).status == 200
