"""`souk keys rotate` against the running shop."""

from infra.ops.devstack.stack import Stack
from tests.support.http import RegisteredCustomer, register_customer
from tests.support.souk_command import run_souk


async def test_rotation_signs_out_no_user(stack: Stack, customer: RegisteredCustomer) -> None:
    code, output = await run_souk("keys", "rotate", "--data", str(stack.settings.data))
    assert code == 0, output
    assert "signs in 90 s" in output
    assert (await customer.http.get("/users/profile")).status == 200
    newcomer = await register_customer(customer.http)
    assert (await newcomer.http.get("/users/profile")).status == 200
