"""The operations of catalog."""

from contracts.catalog.categories import (
    Category,
    CategoryCycle,
    CategoryInUse,
    CategoryRef,
    CreateCategory,
    ReplaceCategory,
)
from contracts.catalog.exports import ExportChanged, ExportProducts, ProductFile
from contracts.catalog.images import (
    AddProductImage,
    ChangeProductImage,
    GetProductImage,
    ProductImageFile,
    ProductImageRef,
    UnreadableImage,
)
from contracts.catalog.imports import NotCsv, ProductImport, ProductImportRef, StartProductImport
from contracts.catalog.inventory_imports import ImportInventory, InventoryImport
from contracts.catalog.price_operations import PRICE_OPERATIONS
from contracts.catalog.product_lists import ListProducts, ProductSearchResult, ProductSuggestions, SuggestProducts
from contracts.catalog.products import (
    ChangeProduct,
    CreateProduct,
    CurrencyMismatch,
    GetProducts,
    Product,
    ProductImage,
    ProductLookup,
    ProductRef,
    ProductResults,
    ReplaceProduct,
    SkuTaken,
    VariantInUse,
)
from contracts.catalog.review_operations import REVIEW_OPERATIONS
from contracts.catalog.stock import (
    AdjustStock,
    GuestStockLimit,
    Hold,
    HoldMismatch,
    HoldRef,
    ListStock,
    ListStockMovements,
    OutOfStock,
    PlaceHold,
    QuoteRequest,
    SkuQuoteList,
    SkuRef,
    StockLevel,
    StockMovement,
    StockReserved,
)
from contracts.catalog.synonyms import SYNONYM_OPERATIONS
from contracts.catalog.types import SERVICE, CategoryUnknown, SkuUnknown, SlugTaken
from contracts.failure import Forbidden, InvalidCursor, NotFound, PayloadTooLarge, PreconditionFailed
from contracts.identity import Access
from contracts.model import Empty, ListPage, PageParams
from contracts.operation import OPERATOR, Operation
from contracts.repair import StockRepairRequest, StockRepairResult

CHANGE_FAILURES = (
    NotFound,
    PreconditionFailed,
    SkuTaken,
    SlugTaken,
    CategoryUnknown,
    CurrencyMismatch,
    VariantInUse,
    StockReserved,
)
ANYONE, ADMIN, INTERNAL = Access.ANYONE, Access.ADMIN, Access.SERVICE

LIST_PRODUCTS = Operation(
    SERVICE, "list_products", ListProducts, ListPage[Product], "List products", ANYONE, (InvalidCursor, Forbidden)
)
SEARCH_PRODUCTS = Operation(
    SERVICE,
    "search_products",
    ListProducts,
    ProductSearchResult,
    "Search products and count them by facet",
    ANYONE,
    (InvalidCursor, Forbidden),
)
SUGGEST = Operation(SERVICE, "suggest", SuggestProducts, ProductSuggestions, "Suggest product names", ANYONE)
GET_PRODUCT = Operation(SERVICE, "get_product", ProductLookup, Product, "Read a product", ANYONE, (NotFound,))
GET_PRODUCTS = Operation(SERVICE, "get_products", GetProducts, ProductResults, "Read several products", ANYONE)
CREATE_PRODUCT = Operation(
    SERVICE,
    "create_product",
    CreateProduct,
    Product,
    "Create a product",
    ADMIN,
    (SkuTaken, SlugTaken, CategoryUnknown, CurrencyMismatch),
    writes=True,
)
REPLACE_PRODUCT = Operation(
    SERVICE, "replace_product", ReplaceProduct, Product, "Replace a product", ADMIN, CHANGE_FAILURES, writes=True
)
CHANGE_PRODUCT = Operation(
    SERVICE,
    "change_product",
    ChangeProduct,
    Product,
    "Change some fields of a product",
    ADMIN,
    CHANGE_FAILURES,
    writes=True,
)
DEACTIVATE_PRODUCT = Operation(
    SERVICE,
    "deactivate_product",
    ProductRef,
    Empty,
    "Take a product off sale",
    ADMIN,
    (NotFound, PreconditionFailed),
    writes=True,
)
LIST_CATEGORIES = Operation(
    SERVICE, "list_categories", PageParams, ListPage[Category], "List categories", ANYONE, (InvalidCursor,)
)
GET_CATEGORY = Operation(SERVICE, "get_category", CategoryRef, Category, "Read a category", ANYONE, (NotFound,))
CREATE_CATEGORY = Operation(
    SERVICE,
    "create_category",
    CreateCategory,
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
    SERVICE, "delete_category", CategoryRef, Empty, "Delete a category", ADMIN, (NotFound, CategoryInUse), writes=True
)
GET_STOCK = Operation(SERVICE, "get_stock", SkuRef, StockLevel, "Read the stock of a SKU", ADMIN, (SkuUnknown,))
LIST_STOCK = Operation(SERVICE, "list_stock", ListStock, ListPage[StockLevel], "List stock", ADMIN, (InvalidCursor,))
ADJUST_STOCK = Operation(
    SERVICE,
    "adjust_stock",
    AdjustStock,
    StockLevel,
    "Adjust the stock of a SKU",
    ADMIN,
    (SkuUnknown, StockReserved),
    writes=True,
)
LIST_STOCK_MOVEMENTS = Operation(
    SERVICE,
    "list_stock_movements",
    ListStockMovements,
    ListPage[StockMovement],
    "List what changed the stock of a SKU",
    ADMIN,
    (SkuUnknown, InvalidCursor),
)
IMPORT_INVENTORY = Operation(
    SERVICE,
    "import_inventory",
    ImportInventory,
    InventoryImport,
    "Set the stock of many SKUs by a CSV",
    ADMIN,
    (NotCsv, PayloadTooLarge),
    writes=True,
)
START_IMPORT = Operation(
    SERVICE,
    "start_import",
    StartProductImport,
    ProductImport,
    "Import a product CSV of Shopify or WooCommerce",
    ADMIN,
    (NotCsv, PayloadTooLarge),
    writes=True,
)
GET_IMPORT = Operation(
    SERVICE, "get_import", ProductImportRef, ProductImport, "Read the progress of an import", ADMIN, (NotFound,)
)
EXPORT_PRODUCTS = Operation(
    SERVICE,
    "export_products",
    ExportProducts,
    ProductFile,
    "Export all products as a Shopify product CSV",
    ADMIN,
    (InvalidCursor, ExportChanged),
)
ADD_IMAGE = Operation(
    SERVICE,
    "add_image",
    AddProductImage,
    ProductImage,
    "Add an image to a product",
    ADMIN,
    (NotFound, UnreadableImage, PayloadTooLarge),
    writes=True,
)
CHANGE_IMAGE = Operation(
    SERVICE,
    "change_image",
    ChangeProductImage,
    ProductImage,
    "Change the text or the place of an image",
    ADMIN,
    (NotFound,),
    writes=True,
)
DELETE_IMAGE = Operation(
    SERVICE, "delete_image", ProductImageRef, Empty, "Delete an image of a product", ADMIN, (NotFound,), writes=True
)
GET_IMAGE = Operation(
    SERVICE,
    "get_image",
    GetProductImage,
    ProductImageFile,
    "Read an image at a given width, as WebP",
    ANYONE,
    (NotFound,),
)
QUOTE = Operation(
    SERVICE,
    "quote",
    QuoteRequest,
    SkuQuoteList,
    "Read the current price and availability of SKUs",
    INTERNAL,
    callers=("cart",),
)
HOLD = Operation(
    SERVICE,
    "hold",
    PlaceHold,
    Hold,
    "Price and reserve all lines or none",
    INTERNAL,
    (SkuUnknown, OutOfStock, GuestStockLimit, HoldMismatch),
    ("order",),
    writes=True,
)
RELEASE = Operation(
    SERVICE,
    "release",
    HoldRef,
    Empty,
    "Release a hold that no order needs",
    INTERNAL,
    callers=("order",),
    writes=True,
)
REPAIR = Operation(
    SERVICE,
    "repair",
    StockRepairRequest,
    StockRepairResult,
    "Correct holds and reserved stock",
    INTERNAL,
    callers=(OPERATOR,),
    writes=True,
)
OPERATIONS = (
    LIST_PRODUCTS,
    SEARCH_PRODUCTS,
    SUGGEST,
    GET_PRODUCT,
    GET_PRODUCTS,
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
    LIST_STOCK_MOVEMENTS,
    IMPORT_INVENTORY,
    START_IMPORT,
    GET_IMPORT,
    EXPORT_PRODUCTS,
    ADD_IMAGE,
    CHANGE_IMAGE,
    DELETE_IMAGE,
    GET_IMAGE,
    *REVIEW_OPERATIONS,
    *SYNONYM_OPERATIONS,
    *PRICE_OPERATIONS,
    QUOTE,
    HOLD,
    RELEASE,
    REPAIR,
)
