"""Everything that can be asked of the catalog."""

from contracts.catalog.categories import (
    Category,
    CategoryCycle,
    CategoryInUse,
    CategoryOf,
    NewCategory,
    ReplaceCategory,
)
from contracts.catalog.images import AddImage, ImageOf, Picture, UnreadableImage
from contracts.catalog.imports import ImportJob, ImportOf, NotCsv, StartImport
from contracts.catalog.products import (
    ChangeProduct,
    CurrencyMismatch,
    Image,
    NewProduct,
    Product,
    ProductByKey,
    ProductOf,
    ReplaceProduct,
    SkuTaken,
    VariantInUse,
)
from contracts.catalog.search import ListProducts, SearchResult, Suggest, Suggestions
from contracts.catalog.stock import (
    AdjustStock,
    Hold,
    HoldMismatch,
    HoldOf,
    ListStock,
    OutOfStock,
    PlaceHold,
    QuoteOf,
    Quotes,
    SkuOf,
    StockLevel,
    StockReserved,
)
from contracts.catalog.types import SERVICE, CategoryUnknown, SkuUnknown, SlugTaken
from contracts.failure import BadCursor, NotFound, PayloadTooLarge, PreconditionFailed
from contracts.identity import Access
from contracts.model import Empty, Listing, Page
from contracts.operation import OPERATOR, Operation
from contracts.repair import RepairedStock, RepairStock

CHANGING = (
    NotFound,
    PreconditionFailed,
    SkuTaken,
    SlugTaken,
    CategoryUnknown,
    CurrencyMismatch,
    VariantInUse,
    StockReserved,
)
ANYONE, ADMIN, SERVICES = Access.ANYONE, Access.ADMIN, Access.SERVICE
LIST_PRODUCTS = Operation(
    SERVICE, "list_products", ListProducts, Listing[Product], "List products", ANYONE, (BadCursor,)
)
SEARCH_PRODUCTS = Operation(
    SERVICE, "search_products", ListProducts, SearchResult, "Search products, with facets", ANYONE, (BadCursor,)
)
SUGGEST = Operation(SERVICE, "suggest", Suggest, Suggestions, "Suggest product names", ANYONE)
GET_PRODUCT = Operation(SERVICE, "get_product", ProductByKey, Product, "Read a product", ANYONE, (NotFound,))
CREATE_PRODUCT = Operation(
    SERVICE,
    "create_product",
    NewProduct,
    Product,
    "Create a product",
    ADMIN,
    (SkuTaken, SlugTaken, CategoryUnknown, CurrencyMismatch),
    writes=True,
)
REPLACE_PRODUCT = Operation(
    SERVICE, "replace_product", ReplaceProduct, Product, "Replace a product", ADMIN, CHANGING, writes=True
)
CHANGE_PRODUCT = Operation(
    SERVICE, "change_product", ChangeProduct, Product, "Change a product in part", ADMIN, CHANGING, writes=True
)
DEACTIVATE_PRODUCT = Operation(
    SERVICE,
    "deactivate_product",
    ProductOf,
    Empty,
    "Take a product off sale",
    ADMIN,
    (NotFound, PreconditionFailed),
    writes=True,
)
LIST_CATEGORIES = Operation(
    SERVICE, "list_categories", Page, Listing[Category], "List categories", ANYONE, (BadCursor,)
)
GET_CATEGORY = Operation(SERVICE, "get_category", CategoryOf, Category, "Read a category", ANYONE, (NotFound,))
CREATE_CATEGORY = Operation(
    SERVICE,
    "create_category",
    NewCategory,
    Category,
    "Create a category",
    ADMIN,
    (SlugTaken, CategoryUnknown),
    writes=True,
)
REPLACE_CATEGORY = Operation(
    SERVICE,
    "replace_category",
    ReplaceCategory,
    Category,
    "Replace a category",
    ADMIN,
    (NotFound, SlugTaken, CategoryUnknown, CategoryCycle),
    writes=True,
)
DELETE_CATEGORY = Operation(
    SERVICE, "delete_category", CategoryOf, Empty, "Delete a category", ADMIN, (NotFound, CategoryInUse), writes=True
)
GET_STOCK = Operation(SERVICE, "get_stock", SkuOf, StockLevel, "Read the stock of a SKU", ADMIN, (SkuUnknown,))
LIST_STOCK = Operation(SERVICE, "list_stock", ListStock, Listing[StockLevel], "List stock", ADMIN, (BadCursor,))
ADJUST_STOCK = Operation(
    SERVICE,
    "adjust_stock",
    AdjustStock,
    StockLevel,
    "Count stock in or out",
    ADMIN,
    (SkuUnknown, StockReserved),
    writes=True,
)
START_IMPORT = Operation(
    SERVICE,
    "start_import",
    StartImport,
    ImportJob,
    "Import a Shopify product CSV",
    ADMIN,
    (NotCsv, PayloadTooLarge),
    writes=True,
)
GET_IMPORT = Operation(SERVICE, "get_import", ImportOf, ImportJob, "Follow an import", ADMIN, (NotFound,))
ADD_IMAGE = Operation(
    SERVICE,
    "add_image",
    AddImage,
    Image,
    "Add a picture to a product",
    ADMIN,
    (NotFound, UnreadableImage, PayloadTooLarge),
    writes=True,
)
GET_IMAGE = Operation(SERVICE, "get_image", ImageOf, Picture, "A picture at a width, as WebP", ANYONE, (NotFound,))
QUOTE = Operation(SERVICE, "quote", QuoteOf, Quotes, "Price and availability of SKUs now", SERVICES, callers=("cart",))
HOLD = Operation(
    SERVICE,
    "hold",
    PlaceHold,
    Hold,
    "Price and set aside every line or none",
    SERVICES,
    (SkuUnknown, OutOfStock, HoldMismatch),
    ("order",),
    writes=True,
)
RELEASE = Operation(
    SERVICE,
    "release",
    HoldOf,
    Empty,
    "Give back a hold that no order came for",
    SERVICES,
    callers=("order",),
    writes=True,
)
REPAIR = Operation(
    SERVICE,
    "repair",
    RepairStock,
    RepairedStock,
    "Put holds and reserved stock right",
    SERVICES,
    callers=(OPERATOR,),
    writes=True,
)
OPERATIONS = (
    LIST_PRODUCTS,
    SEARCH_PRODUCTS,
    SUGGEST,
    GET_PRODUCT,
    CREATE_PRODUCT,
    REPLACE_PRODUCT,
    CHANGE_PRODUCT,
    DEACTIVATE_PRODUCT,
    LIST_CATEGORIES,
    GET_CATEGORY,
    CREATE_CATEGORY,
    REPLACE_CATEGORY,
    DELETE_CATEGORY,
    GET_STOCK,
    LIST_STOCK,
    ADJUST_STOCK,
    START_IMPORT,
    GET_IMPORT,
    ADD_IMAGE,
    GET_IMAGE,
    QUOTE,
    HOLD,
    RELEASE,
    REPAIR,
)
