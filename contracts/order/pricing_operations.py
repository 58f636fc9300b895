"""The operations of order on what a merchant charges: tax rates and shipping zones."""

from contracts.failure import InvalidCursor, NotFound
from contracts.identity import Access
from contracts.model import Empty, ListPage, PageParams
from contracts.operation import Operation
from contracts.order.shipping import (
    ReplaceShippingZone,
    ShippingPlaceTaken,
    ShippingZone,
    ShippingZoneFields,
    ShippingZoneRef,
)
from contracts.order.taxes import ReplaceTaxRate, TaxRate, TaxRateFields, TaxRateOverlaps, TaxRateRef, TaxSettings

SERVICE = "order"
ADMIN = Access.ADMIN

LIST_TAX_RATES = Operation(
    SERVICE, "list_tax_rates", PageParams, ListPage[TaxRate], "List tax rates", ADMIN, (InvalidCursor,)
)
GET_TAX_RATE = Operation(SERVICE, "get_tax_rate", TaxRateRef, TaxRate, "Read a tax rate", ADMIN, (NotFound,))
CREATE_TAX_RATE = Operation(
    SERVICE, "create_tax_rate", TaxRateFields, TaxRate, "Create a tax rate", ADMIN, (TaxRateOverlaps,), writes=True
)
REPLACE_TAX_RATE = Operation(
    SERVICE,
    "replace_tax_rate",
    ReplaceTaxRate,
    TaxRate,
    "Replace a tax rate",
    ADMIN,
    (NotFound, TaxRateOverlaps),
    writes=True,
)
DELETE_TAX_RATE = Operation(
    SERVICE, "delete_tax_rate", TaxRateRef, Empty, "Delete a tax rate", ADMIN, (NotFound,), writes=True
)
GET_TAX_SETTINGS = Operation(SERVICE, "get_tax_settings", Empty, TaxSettings, "Read how the shop charges tax", ADMIN)
REPLACE_TAX_SETTINGS = Operation(
    SERVICE, "replace_tax_settings", TaxSettings, TaxSettings, "Set how the shop charges tax", ADMIN, writes=True
)
LIST_SHIPPING_ZONES = Operation(
    SERVICE, "list_shipping_zones", PageParams, ListPage[ShippingZone], "List shipping zones", ADMIN, (InvalidCursor,)
)
GET_SHIPPING_ZONE = Operation(
    SERVICE, "get_shipping_zone", ShippingZoneRef, ShippingZone, "Read a shipping zone", ADMIN, (NotFound,)
)
CREATE_SHIPPING_ZONE = Operation(
    SERVICE,
    "create_shipping_zone",
    ShippingZoneFields,
    ShippingZone,
    "Create a shipping zone with its methods",
    ADMIN,
    (ShippingPlaceTaken,),
    writes=True,
)
REPLACE_SHIPPING_ZONE = Operation(
    SERVICE,
    "replace_shipping_zone",
    ReplaceShippingZone,
    ShippingZone,
    "Replace a shipping zone and its methods",
    ADMIN,
    (NotFound, ShippingPlaceTaken),
    writes=True,
)
DELETE_SHIPPING_ZONE = Operation(
    SERVICE, "delete_shipping_zone", ShippingZoneRef, Empty, "Delete a shipping zone", ADMIN, (NotFound,), writes=True
)

PRICING_OPERATIONS = (
    LIST_TAX_RATES,
    GET_TAX_RATE,
    CREATE_TAX_RATE,
    REPLACE_TAX_RATE,
    DELETE_TAX_RATE,
    GET_TAX_SETTINGS,
    REPLACE_TAX_SETTINGS,
    LIST_SHIPPING_ZONES,
    GET_SHIPPING_ZONE,
    CREATE_SHIPPING_ZONE,
    REPLACE_SHIPPING_ZONE,
    DELETE_SHIPPING_ZONE,
)
