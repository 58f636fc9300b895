"""catalog: products, their variants and categories, prices, pictures, and the stock with the holds on it."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from contracts.event import Event
from contracts.failure import BadCursor, Fail, NotFound, PayloadTooLarge, PreconditionFailed
from contracts.identity import Access
from contracts.model import Cursor, Empty, Id, Line, Listing, Model, Name, Page, Quantity, Sku, Slug, Text, Time
from contracts.money import MAX_AMOUNT, Currency, Money
from contracts.operation import Operation

SERVICE = "catalog"

MAX_STOCK = 1_000_000_000
Stock = Annotated[int, Field(ge=0, le=MAX_STOCK, description="Units.")]
Tag = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f,]+$", min_length=1, max_length=64, strip_whitespace=True)
]
Attributes = Annotated[
    dict[Annotated[Name, StringConstraints(max_length=64)], Annotated[Line, StringConstraints(max_length=255)]],
    Field(max_length=50),
]


class SkuTaken(Fail, status=HTTPStatus.CONFLICT):
    """Another variant has this SKU already."""


class SlugTaken(Fail, status=HTTPStatus.CONFLICT):
    """Another one has this slug already."""


class SkuUnknown(Fail, status=HTTPStatus.NOT_FOUND):
    """There is no such SKU on sale."""


class OutOfStock(Fail, status=HTTPStatus.CONFLICT):
    """There is not enough left; nothing was held."""


class StockReserved(Fail, status=HTTPStatus.CONFLICT):
    """Stock cannot go below what is reserved for orders."""


class VariantInUse(Fail, status=HTTPStatus.CONFLICT):
    """A variant with stock on hold cannot be taken away."""


class CategoryUnknown(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """There is no such category."""


class CategoryInUse(Fail, status=HTTPStatus.CONFLICT):
    """The category still has products or categories below it."""


class CategoryCycle(Fail, status=HTTPStatus.CONFLICT):
    """A category cannot stand below itself."""


class CurrencyMismatch(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """The shop sells in another currency."""


class HoldMismatch(Fail, status=HTTPStatus.CONFLICT):
    """The hold exists with other lines."""


class UnreadableImage(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """This is not a JPEG, PNG or WebP picture that can be read."""


class NotCsv(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """This is not a product CSV: it needs UTF-8 text with the columns Handle, Title and Variant Price."""


class Variant(Model):
    sku: Sku
    options: Attributes
    price: Money
    compare_at_price: Money | None = None
    available: Annotated[int, Field(ge=0, description="Units that can be ordered now.")]
    weight_grams: Annotated[int | None, Field(ge=0)] = None


class Image(Model):
    id: Id
    url: Annotated[str, Field(description="Its path in the shop, at its full width.")]
    alt: Line


class Rating(Model):
    average: float
    count: int


class Product(Model):
    id: Id
    slug: Slug
    name: Line
    description: Text
    category: Annotated[Slug | None, Field(description="Slug of its category.")]
    tags: list[Tag]
    attributes: Attributes
    price: Annotated[Money, Field(description="Of its cheapest variant.")]
    variants: list[Variant]
    images: list[Image]
    rating: Rating
    is_active: bool
    created_at: Time
    updated_at: Time


class NewVariant(Model):
    sku: Sku
    price: Money
    compare_at_price: Money | None = None
    options: Attributes = {}
    stock: Annotated[Stock | None, Field(description="Units on hand; left as they are when not said.")] = None
    weight_grams: Annotated[int | None, Field(ge=0, le=10_000_000)] = None


ProductName = Annotated[Name, StringConstraints(max_length=200)]


class NewProduct(Model):
    """A product with `variants`, or one with a single variant and its `sku`, `price` and `stock` beside the name."""

    name: ProductName
    description: Text = ""
    slug: Slug | None = None
    category_id: Id | None = None
    tags: Annotated[list[Tag], Field(max_length=50)] = []
    attributes: Attributes = {}
    variants: Annotated[list[NewVariant] | None, Field(min_length=1, max_length=100)] = None
    sku: Sku | None = None
    price: Money | None = None
    compare_at_price: Money | None = None
    stock: Stock | None = None
    weight_grams: Annotated[int | None, Field(ge=0, le=10_000_000)] = None

    @model_validator(mode="after")
    def _one_form(self) -> "NewProduct":
        single = (self.sku, self.price)
        if self.variants is None and None in single:
            message = "needs variants, or a sku and a price"
            raise ValueError(message)
        beside = (*single, self.compare_at_price, self.stock, self.weight_grams)
        if self.variants is not None and any(value is not None for value in beside):
            message = "has either variants or a sku and a price beside the name, not both"
            raise ValueError(message)
        return self


class ReplaceProduct(NewProduct):
    id: Id
    is_active: bool = True


class ChangeProduct(Model):
    """Only what is named changes; `variants` replaces them all."""

    id: Id
    name: ProductName | None = None
    description: Text | None = None
    slug: Slug | None = None
    category_id: Id | None = None
    tags: Annotated[list[Tag] | None, Field(max_length=50)] = None
    attributes: Attributes | None = None
    variants: Annotated[list[NewVariant] | None, Field(min_length=1, max_length=100)] = None
    price: Annotated[Money | None, Field(description="Of a product with one variant.")] = None
    is_active: bool | None = None


class ProductOf(Model):
    id: Id


class ProductByKey(Model):
    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,120}$")]
    """A product's id or slug."""


class Sort(StrEnum):
    RELEVANCE = "relevance"
    PRICE = "price"
    PRICE_DESCENDING = "-price"
    NEWEST = "newest"
    RATING = "rating"
    NAME = "name"


class ListProducts(Page):
    q: Annotated[Line | None, StringConstraints(max_length=200)] = None
    category: Slug | None = None
    min_price: Annotated[int | None, Field(ge=0, le=MAX_AMOUNT, description="Minor units.")] = None
    max_price: Annotated[int | None, Field(ge=0, le=MAX_AMOUNT, description="Minor units.")] = None
    min_rating: Annotated[float | None, Field(ge=0, le=5)] = None
    in_stock: bool | None = None
    tag: Tag | None = None
    sort: Sort | None = None


class Facet(Model):
    value: Annotated[str, Field(description="A category's slug, a tag, or a price range `low..high` in minor units.")]
    count: int


class SearchResult(Model):
    items: list[Product]
    next: Cursor | None = None
    facets: dict[str, list[Facet]]


class Suggest(Model):
    q: Annotated[Name, StringConstraints(max_length=200)]
    limit: Annotated[int, Field(ge=1, le=20)] = 10


class Suggestions(Model):
    items: list[str]


class Category(Model):
    id: Id
    slug: Slug
    name: Line
    parent_id: Id | None


class NewCategory(Model):
    name: Annotated[Name, StringConstraints(max_length=100)]
    slug: Slug | None = None
    parent_id: Id | None = None


class ReplaceCategory(NewCategory):
    id: Id


class CategoryOf(Model):
    id: Id


class StockLevel(Model):
    sku: Sku
    on_hand: int
    reserved: int
    available: int


class SkuOf(Model):
    sku: Sku


class ListStock(Page):
    below: Annotated[int | None, Field(ge=0, le=MAX_STOCK, description="Only SKUs with fewer available.")] = None


class AdjustStock(Model):
    """Either `delta` or `set`."""

    sku: Sku
    delta: Annotated[int | None, Field(ge=-MAX_STOCK, le=MAX_STOCK)] = None
    set: Stock | None = None
    reason: Annotated[Name, StringConstraints(max_length=200)]

    @model_validator(mode="after")
    def _one_of(self) -> "AdjustStock":
        if (self.delta is None) == (self.set is None):
            message = "says either delta or set"
            raise ValueError(message)
        return self


class StartImport(Model):
    """The file waits in the object store, where the edge has put it."""

    upload: Annotated[str, Field(description="Name of the object in the `UPLOADS` bucket.", max_length=64)]


class ImportOf(Model):
    id: Id


class ImportStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class ImportFault(Model):
    line: Annotated[int, Field(description="In the file, the header being line 1.")]
    detail: str


class ImportJob(Model):
    id: Id
    status: ImportStatus
    rows: Annotated[int, Field(description="Rows read so far.")]
    products: Annotated[int, Field(description="Products that the file holds.")]
    variants: Annotated[int, Field(description="Variants that the file holds.")]
    created: int
    updated: int
    unchanged: int
    errors: list[ImportFault]
    created_at: Time


class AddImage(Model):
    id: Id
    upload: Annotated[str, Field(description="Name of the object in the `UPLOADS` bucket.", max_length=64)]
    alt: Annotated[Line, StringConstraints(max_length=200)] = ""


class ImageOf(Model):
    image_id: Id
    width: Annotated[int, Field(ge=16, le=2048, description="Pixels; the next of the widths that are kept is served.")]


class Picture(Model):
    """The body of the reply is the WebP picture itself; this model only names it."""


class QuoteOf(Model):
    skus: Annotated[list[Sku], Field(max_length=200)]


class Quote(Model):
    sku: Sku
    product_id: Id
    name: Line
    options: Attributes
    unit_price: Money
    available: int


class Quotes(Model):
    """What is known of the SKUs now; one that is not on sale is not in the list."""

    items: list[Quote]


class HoldLine(Model):
    """Names a SKU, or a product that has one variant."""

    sku: Sku | None = None
    product_id: Id | None = None
    quantity: Quantity

    @model_validator(mode="after")
    def _one_of(self) -> "HoldLine":
        if (self.sku is None) == (self.product_id is None):
            message = "names either a sku or a product_id"
            raise ValueError(message)
        return self


class PlaceHold(Model):
    """Prices and sets aside every line or none. The same `hold_id` with the same lines answers the same again."""

    hold_id: Id
    lines: Annotated[list[HoldLine], Field(min_length=1, max_length=100)]
    seconds: Annotated[int, Field(ge=1, le=7 * 86_400, description="How long the hold lasts.")]


class HeldLine(Model):
    sku: Sku
    product_id: Id
    name: Line
    options: Attributes
    quantity: Quantity
    unit_price: Money


class Hold(Model):
    hold_id: Id
    lines: list[HeldLine]
    currency: Currency
    expires_at: Time


class HoldOf(Model):
    hold_id: Id


class ProductCreated(Event, service=SERVICE, name="created", key="product_id"):
    """A product came on sale."""

    product_id: Id


class ProductUpdated(Event, service=SERVICE, name="updated", key="product_id"):
    """Something of a product changed: what it says, its price, its variants."""

    product_id: Id


class ProductDeactivated(Event, service=SERVICE, name="deactivated", key="product_id"):
    """A product is not sold any more."""

    product_id: Id


class StockAdjusted(Event, service=SERVICE, name="stock_adjusted", key="product_id"):
    """Stock was counted, came in or was written off. Holds and sales are not told one by one."""

    product_id: Id
    sku: Sku
    on_hand: int
    reserved: int


class HoldLost(Event, service=SERVICE, name="hold_lost", key="hold_id"):
    """A hold ran out before its order was paid, and its stock went back on sale."""

    hold_id: Id
    order_id: Id | None


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
)
EVENTS = (ProductCreated, ProductUpdated, ProductDeactivated, StockAdjusted, HoldLost)
