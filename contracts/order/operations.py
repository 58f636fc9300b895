"""The operations of order."""

from contracts.cart import CartChanged, CartEmpty
from contracts.catalog import GuestStockLimit, HoldMismatch, OutOfStock, SkuUnknown
from contracts.coupons import CouponInvalid, TooManyCouponAttempts
from contracts.failure import Forbidden, InvalidCursor, NotFound, PreconditionFailed, Unauthorized
from contracts.gift_cards import GIFT_CARD_REFUSALS
from contracts.identity import Access
from contracts.model import ListPage
from contracts.operation import OPERATOR, Operation, OwnedResource
from contracts.order.cancellations import CancelOrder
from contracts.order.coupon_operations import COUPON_OPERATIONS
from contracts.order.fulfilments import CreateFulfilment, FulfilmentExceedsOrder, TooManyFulfilments, UpdateFulfilment
from contracts.order.guest_orders import GUEST_ORDER_OPERATIONS
from contracts.order.invoices import CreditNoteRef, InvoiceFile, InvoiceNotReady
from contracts.order.order_event_stream import EVENT_STREAM_OPERATIONS
from contracts.order.order_exports import EXPORT_ORDERS
from contracts.order.order_notes import AddOrderNote, TooManyOrderNotes
from contracts.order.orders import (
    SERVICE,
    EmailRequired,
    GuestContact,
    GuestContactRequest,
    IllegalTransition,
    ListOrders,
    Order,
    OrderRef,
    PayableList,
    PayablesRequest,
    PayOrder,
    PlacedOrder,
    PlaceOrder,
    TooManyGuestOrders,
    UpdateOrder,
)
from contracts.order.pricing_operations import PRICING_OPERATIONS
from contracts.order.purchases import ProductPurchase, PurchaseQuery
from contracts.order.shipping import NotDeliverable
from contracts.payment import AlreadyPaid, CardNumberRefused, NotPayable, Payment, PaymentMethodUnknown
from contracts.repair import RepairRequest, RepairResult

PLACE_FAILURES = (
    NotFound,
    Unauthorized,
    SkuUnknown,
    OutOfStock,
    HoldMismatch,
    GuestStockLimit,
    TooManyGuestOrders,
    CartEmpty,
    CartChanged,
    EmailRequired,
    NotDeliverable,
    CardNumberRefused,
    CouponInvalid,
    TooManyCouponAttempts,
    *GIFT_CARD_REFUSALS,
)
CUSTOMER, INTERNAL = Access.CUSTOMER, Access.SERVICE

PLACE = Operation(
    SERVICE,
    "place",
    PlaceOrder,
    PlacedOrder,
    "Place an order and hold its stock",
    Access.ANYONE,
    PLACE_FAILURES,
    writes=True,
    owned_resources=(
        OwnedResource("cart", id_field="cart_id", open_to_guests=True),
        OwnedResource("address", id_field="address_id"),
    ),
)
LIST = Operation(
    SERVICE,
    "list",
    ListOrders,
    ListPage[Order],
    "List orders",
    CUSTOMER,
    (InvalidCursor, Forbidden),
    owned_resources=(OwnedResource("orders", open_to_admins=True),),
)
GET = Operation(
    SERVICE,
    "get",
    OrderRef,
    Order,
    "Read an order",
    CUSTOMER,
    (NotFound,),
    owned_resources=(OwnedResource("order", id_field="id", open_to_admins=True, open_to_order_tokens=True),),
)
CANCEL = Operation(
    SERVICE,
    "cancel",
    CancelOrder,
    Order,
    "Cancel an order, or units of it that have not left",
    CUSTOMER,
    (NotFound, IllegalTransition, FulfilmentExceedsOrder, PreconditionFailed),
    writes=True,
    owned_resources=(OwnedResource("order", id_field="id", open_to_admins=True, open_to_order_tokens=True),),
)
PAY = Operation(
    SERVICE,
    "pay",
    PayOrder,
    Payment,
    "Pay an order",
    CUSTOMER,
    (NotFound, IllegalTransition, AlreadyPaid, NotPayable, PaymentMethodUnknown, CardNumberRefused),
    writes=True,
    owned_resources=(OwnedResource("order", id_field="id", open_to_order_tokens=True),),
)
UPDATE = Operation(
    SERVICE,
    "update",
    UpdateOrder,
    Order,
    "Ship or deliver an order, or change its address",
    Access.ADMIN,
    (NotFound, IllegalTransition, PreconditionFailed),
    writes=True,
)
ADD_NOTE = Operation(
    SERVICE,
    "add_note",
    AddOrderNote,
    Order,
    "Add a note to an order",
    Access.ADMIN,
    (NotFound, CardNumberRefused, TooManyOrderNotes),
    writes=True,
)
CREATE_FULFILMENT = Operation(
    SERVICE,
    "create_fulfilment",
    CreateFulfilment,
    Order,
    "Send a parcel of an order",
    Access.ADMIN,
    (NotFound, IllegalTransition, FulfilmentExceedsOrder, TooManyFulfilments, PreconditionFailed),
    writes=True,
)
UPDATE_FULFILMENT = Operation(
    SERVICE,
    "update_fulfilment",
    UpdateFulfilment,
    Order,
    "Change the tracking of a parcel, or mark it as delivered",
    Access.ADMIN,
    (NotFound, PreconditionFailed),
    writes=True,
)
GET_INVOICE = Operation(
    SERVICE,
    "get_invoice",
    OrderRef,
    InvoiceFile,
    "Read the invoice of an order, as a PDF",
    CUSTOMER,
    (NotFound, InvoiceNotReady),
    owned_resources=(OwnedResource("order", id_field="id", open_to_admins=True, open_to_order_tokens=True),),
)
GET_CREDIT_NOTE = Operation(
    SERVICE,
    "get_credit_note",
    CreditNoteRef,
    InvoiceFile,
    "Read a credit note of an order, as a PDF",
    CUSTOMER,
    (NotFound, InvoiceNotReady),
    owned_resources=(OwnedResource("order", id_field="id", open_to_admins=True, open_to_order_tokens=True),),
)
PAYABLES = Operation(
    SERVICE,
    "payables",
    PayablesRequest,
    PayableList,
    "Read what is to be charged for orders",
    INTERNAL,
    callers=("payment",),
)
GUEST = Operation(
    SERVICE,
    "guest",
    GuestContactRequest,
    GuestContact,
    "Read the contact details of an order's guest",
    INTERNAL,
    (NotFound,),
    ("notification",),
)
FIND_PURCHASE = Operation(
    SERVICE,
    "find_purchase",
    PurchaseQuery,
    ProductPurchase,
    "Find the order by which a customer has bought a product",
    INTERNAL,
    callers=("catalog",),
)
REPAIR = Operation(
    SERVICE,
    "repair",
    RepairRequest,
    RepairResult,
    "Correct orders that are stuck",
    INTERNAL,
    callers=(OPERATOR,),
    writes=True,
)

OPERATIONS = (
    PLACE,
    LIST,
    GET,
    CANCEL,
    PAY,
    UPDATE,
    GET_INVOICE,
    GET_CREDIT_NOTE,
    ADD_NOTE,
    EXPORT_ORDERS,
    CREATE_FULFILMENT,
    UPDATE_FULFILMENT,
    PAYABLES,
    GUEST,
    FIND_PURCHASE,
    REPAIR,
    *PRICING_OPERATIONS,
    *COUPON_OPERATIONS,
    *GUEST_ORDER_OPERATIONS,
    *EVENT_STREAM_OPERATIONS,
)
