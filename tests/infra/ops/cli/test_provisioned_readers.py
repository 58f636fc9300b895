"""`souk provision`: readers of events are added and removed while the shop runs."""

import re

from nats.aio.client import Client
from nats.errors import Error as NatsError

from infra.ops.devstack.stack import Stack
from tests.support.eventually import eventually
from tests.support.souk_command import run_souk


async def can_connect(url: str) -> bool:
    async def ignore(_error: Exception) -> None:
        """Ignores the error, since `connect` raises it."""

    client = Client()
    try:
        await client.connect(url, allow_reconnect=False, error_cb=ignore)
    except (NatsError, OSError):
        return False
    finally:
        await client.close()
    return True


async def test_a_reader_is_added_and_removed(stack: Stack) -> None:
    data = ("--data", str(stack.settings.data))
    code, output = await run_souk("provision", "--reader", "archive", *data)
    assert code == 0, output
    found = re.search(r"archive may read event\.> at (\S+)", output)
    assert found
    await eventually(lambda: can_connect(found[1]))

    code, output = await run_souk("provision", "--remove-reader", "archive", *data)
    assert code == 0, output

    async def is_refused() -> bool:
        return not await can_connect(found[1])

    await eventually(is_refused)
    code, output = await run_souk("provision", "--remove-reader", "archive", *data)
    assert code == 1
    assert "There is no reader archive" in output
