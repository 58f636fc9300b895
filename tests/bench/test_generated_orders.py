"""Generated orders are what the service would have written: it reads them, and the table's rules hold."""

from collections import Counter

import asyncpg

from infra.ops.devstack.stack import Stack
from services.order.store.queries import OrderFilter, list_newest
from tests.support.many_orders import ORDERS_OF_CUSTOMER, insert_orders


async def test_the_service_reads_generated_orders(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.dsn("order"))
    transaction = connection.transaction()
    await transaction.start()
    try:
        generated = await insert_orders(connection, 400)
        found = [
            await list_newest(connection, OrderFilter(user_id=user_id), ORDERS_OF_CUSTOMER + 1)
            for user_id in generated.customers
        ]
    finally:
        await transaction.rollback()
        await connection.close()
    assert {len(records) for records in found} == {ORDERS_OF_CUSTOMER}
    statuses = Counter(record.order.status for records in found for record in records)
    assert len(statuses) == 6
    assert statuses["delivered"] > 200
