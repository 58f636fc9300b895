"""The operations of price lists and of the prices of products."""

from contracts.catalog.price_lists import (
    CreatePrice,
    ListPrices,
    PriceExists,
    PriceHistoryEntry,
    PriceList,
    PriceListFields,
    PriceListRef,
    PriceListUnknown,
    PriceRef,
    ReplacePriceList,
    ScheduledPrice,
)
from contracts.catalog.products import CurrencyMismatch
from contracts.catalog.types import SERVICE
from contracts.failure import InvalidCursor, NotFound
from contracts.identity import Access
from contracts.model import Empty, ListPage, PageParams
from contracts.operation import Operation

ADMIN = Access.ADMIN

LIST_PRICE_LISTS = Operation(
    SERVICE, "list_price_lists", PageParams, ListPage[PriceList], "List price lists", ADMIN, (InvalidCursor,)
)
GET_PRICE_LIST = Operation(SERVICE, "get_price_list", PriceListRef, PriceList, "Read a price list", ADMIN, (NotFound,))
CREATE_PRICE_LIST = Operation(
    SERVICE, "create_price_list", PriceListFields, PriceList, "Create a price list", ADMIN, writes=True
)
REPLACE_PRICE_LIST = Operation(
    SERVICE,
    "replace_price_list",
    ReplacePriceList,
    PriceList,
    "Change the name, the priority or the times of a price list",
    ADMIN,
    (NotFound,),
    writes=True,
)
DELETE_PRICE_LIST = Operation(
    SERVICE,
    "delete_price_list",
    PriceListRef,
    Empty,
    "Delete a price list with its prices",
    ADMIN,
    (NotFound,),
    writes=True,
)
LIST_PRICES = Operation(
    SERVICE,
    "list_prices",
    ListPrices,
    ListPage[ScheduledPrice],
    "List the scheduled prices of a product, those of price lists too",
    ADMIN,
    (NotFound, InvalidCursor),
)
CREATE_PRICE = Operation(
    SERVICE,
    "create_price",
    CreatePrice,
    ScheduledPrice,
    "Add a price of a price list, at a time, or from a quantity on",
    ADMIN,
    (NotFound, PriceExists, PriceListUnknown, CurrencyMismatch),
    writes=True,
)
DELETE_PRICE = Operation(
    SERVICE, "delete_price", PriceRef, Empty, "Delete a scheduled price of a product", ADMIN, (NotFound,), writes=True
)
LIST_PRICE_HISTORY = Operation(
    SERVICE,
    "list_price_history",
    ListPrices,
    ListPage[PriceHistoryEntry],
    "List the prices of a product that were in force, the latest decision first",
    ADMIN,
    (NotFound, InvalidCursor),
)

PRICE_OPERATIONS = (
    LIST_PRICE_LISTS,
    GET_PRICE_LIST,
    CREATE_PRICE_LIST,
    REPLACE_PRICE_LIST,
    DELETE_PRICE_LIST,
    LIST_PRICES,
    CREATE_PRICE,
    DELETE_PRICE,
    LIST_PRICE_HISTORY,
)
