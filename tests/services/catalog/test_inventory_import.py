"""The units on hand of many SKUs are set by a CSV, and an event says when few units are left."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import catalog
from contracts.catalog import MAX_INVENTORY_LINES, MAX_STOCK, InventoryImport, NotCsv, Product
from contracts.failure import PayloadTooLarge
from services.catalog.domain.inventory_files import DEFAULT_REASON, plan_inventory, read_inventory
from services.catalog.domain.stock import StockRecord
from tests.services.catalog.conftest import CatalogClient, ImportFiles, line
from tests.support.event_recorder import EventRecorder

NewProduct = Callable[..., Awaitable[Product]]


async def run_import(client: CatalogClient, files: ImportFiles, text: str, **options: Any) -> InventoryImport:
    body = {"upload": await files.upload(text.encode())}
    report: InventoryImport = await client.as_admin(catalog.IMPORT_INVENTORY, body, **options)
    return report


async def test_a_file_sets_the_units_of_its_skus_and_a_bad_line_costs_no_other(
    client: CatalogClient, files: ImportFiles, new_product: NewProduct, events: EventRecorder
) -> None:
    first, second, held = [(await new_product(stock=10)).variants[0].sku for _ in range(3)]
    await client.hold(line(held, 4))
    lines = [f"{first},7,counted", f"{second},10,", f"{held},3,", "no-such-sku,1,", f"{first},8,", f"{second},few,"]
    text = "\n".join(["SKU,Quantity,Reason", *lines])
    report = await run_import(client, files, text)
    assert (report.lines, report.updated, report.unchanged, report.failed) == (6, 1, 1, 4)
    assert [(error.line, error.field, error.value, error.detail) for error in report.errors] == [
        (4, "quantity", "3", "This would leave 3 units, but 4 are reserved for orders."),
        (5, "sku", "no-such-sku", "No product has this SKU."),
        (6, "sku", first, "Line 2 has this SKU already."),
        (7, "quantity", "few", f"The quantity is not a whole number from 0 to {MAX_STOCK}."),
    ]
    assert [await client.stock_level(sku) for sku in (first, second, held)] == [(7, 0), (10, 0), (10, 4)]
    await events.wait_for_fields("stock_adjusted", sku=first, on_hand=7)
    movements = (await client.as_admin(catalog.LIST_STOCK_MOVEMENTS, {"sku": first})).items
    assert [(one.quantity, one.reason, one.user_id) for one in movements[:1]] == [(-3, "counted", client.admin.user_id)]
    again = await run_import(client, files, text)
    assert (again.updated, again.unchanged, again.failed) == (0, 2, 4)
    assert (await client.as_admin(catalog.LIST_STOCK_MOVEMENTS, {"sku": first})).items == movements


def test_reads_the_files_of_spreadsheets() -> None:
    content = "\ufeffQuantity;SKU\r\n1.000;A\r\n;\r\n2;ü\r\n".encode()
    file = read_inventory(content)
    assert {sku: (one.number, one.adjustment.set, one.adjustment.reason) for sku, one in file.lines.items()} == {
        "A": (2, 1000, DEFAULT_REASON),
        "ü": (4, 2, DEFAULT_REASON),
    }
    assert (file.line_count, file.errors) == (2, [])


def test_refuses_other_files_and_too_many_lines() -> None:
    with pytest.raises(NotCsv, match="quantity"):
        read_inventory(b"sku,units\nA,1\n")
    lines = "".join(f"A{number},1\n" for number in range(MAX_INVENTORY_LINES + 1))
    with pytest.raises(PayloadTooLarge):
        read_inventory(f"sku,quantity\n{lines}".encode())
    assert len(read_inventory(f"sku,quantity\n{lines[: lines.rindex('A')]}".encode()).lines) == MAX_INVENTORY_LINES


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "B", "C", "", "a b", " "]),
            st.sampled_from(["0", "7", "-1", "1.5", "x", "", "1e3", "99999999999"]),
            st.sampled_from(["", "counted", "r" * 300]),
        ),
        max_size=8,
    )
)
def test_every_line_is_applied_or_reported(rows: list[tuple[str, str, str]]) -> None:
    text = "sku,quantity,reason\n" + "".join(f"{','.join(row)}\n" for row in rows)
    file = read_inventory(text.encode())
    stock = {"A": StockRecord(7, 0), "B": StockRecord(9, 8)}
    plan = plan_inventory(file, stock)
    assert len(plan.changes) + len(plan.unchanged) + len(plan.errors) == file.line_count
    assert all(level.on_hand >= level.reserved for level in plan.changes.values())
    assert [error.line for error in plan.errors] == sorted({error.line for error in plan.errors})


async def test_an_event_says_once_that_few_units_are_left_and_again_after_there_were_more(
    client: CatalogClient, new_product: NewProduct, events: EventRecorder
) -> None:
    product = await new_product(stock=8)
    sku = product.variants[0].sku
    adjustment = {"sku": sku, "reason": "counted"}
    held = await client.hold(line(sku, 3))  # five are left, which is the threshold
    low = await events.wait_for_fields("stock_low", sku=sku, available=5, threshold=5)
    assert low.event.aggregate_id == product.id
    await client.hold(line(sku, 1))
    await client.publish_paid(held.hold_id, sku, 3)
    await client.wait_for_stock(sku, 5, 1)
    await client.as_admin(catalog.ADJUST_STOCK, {**adjustment, "delta": 1})
    await client.as_admin(catalog.ADJUST_STOCK, {**adjustment, "delta": 1})
    await client.as_admin(catalog.ADJUST_STOCK, {**adjustment, "set": 4})
    await events.wait_for_fields("stock_low", sku=sku, available=3)
    await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "stock": None})
    await client.as_admin(catalog.ADJUST_STOCK, {**adjustment, "set": 10})
    await client.as_admin(catalog.ADJUST_STOCK, {**adjustment, "set": 2})
    await events.wait_for_fields("stock_adjusted", sku=sku, on_hand=2)
    assert events.event_names(product.id).count("stock_low") == 2
