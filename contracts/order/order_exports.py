"""Exports of orders as a CSV file, which comes in pages."""

from typing import Annotated

from pydantic import Field

from contracts.failure import InvalidCursor
from contracts.identity import Access
from contracts.model import Model, PageCursor
from contracts.operation import Operation
from contracts.order.orders import SERVICE, OrderSearch


class ExportOrders(OrderSearch):
    """A page of the file, of which the edge makes the whole file."""

    page_start: Annotated[PageCursor, Field(description="Where the page starts; without it, at the header.")] = None


class OrderFile(Model):
    """Stands for the reply, whose body is the CSV itself."""


EXPORT_ORDERS = Operation(
    SERVICE,
    "export_orders",
    ExportOrders,
    OrderFile,
    "Export orders as CSV, the newest first",
    Access.ADMIN,
    (InvalidCursor,),
)
