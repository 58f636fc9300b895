"""The operations of order on coupons."""

from contracts.coupons import CouponInvalid, CouponTerms, TooManyCouponAttempts
from contracts.failure import InvalidCursor, NotFound
from contracts.identity import Access
from contracts.model import Empty, ListPage, PageParams
from contracts.operation import Operation
from contracts.order.coupons import (
    CheckCoupon,
    Coupon,
    CouponCodes,
    CouponCodeTaken,
    CouponFields,
    CouponRef,
    CreateCouponCodes,
    ReplaceCoupon,
)

SERVICE = "order"
ADMIN = Access.ADMIN

LIST_COUPONS = Operation(SERVICE, "list_coupons", PageParams, ListPage[Coupon], "List coupons", ADMIN, (InvalidCursor,))
GET_COUPON = Operation(SERVICE, "get_coupon", CouponRef, Coupon, "Read a coupon", ADMIN, (NotFound,))
CREATE_COUPON = Operation(
    SERVICE, "create_coupon", CouponFields, Coupon, "Create a coupon", ADMIN, (CouponCodeTaken,), writes=True
)
REPLACE_COUPON = Operation(
    SERVICE,
    "replace_coupon",
    ReplaceCoupon,
    Coupon,
    "Replace a coupon",
    ADMIN,
    (NotFound, CouponCodeTaken),
    writes=True,
)
DELETE_COUPON = Operation(
    SERVICE,
    "delete_coupon",
    CouponRef,
    Empty,
    "Delete a coupon, or end one that was used",
    ADMIN,
    (NotFound,),
    writes=True,
)
CREATE_COUPON_CODES = Operation(
    SERVICE,
    "create_coupon_codes",
    CreateCouponCodes,
    CouponCodes,
    "Make single-use codes for a coupon",
    ADMIN,
    (NotFound,),
    writes=True,
)
CHECK_COUPON = Operation(
    SERVICE,
    "check_coupon",
    CheckCoupon,
    CouponTerms,
    "Check whether a coupon would be accepted",
    Access.SERVICE,
    (CouponInvalid, TooManyCouponAttempts),
    callers=("cart",),
)

COUPON_OPERATIONS = (
    LIST_COUPONS,
    GET_COUPON,
    CREATE_COUPON,
    REPLACE_COUPON,
    DELETE_COUPON,
    CREATE_COUPON_CODES,
    CHECK_COUPON,
)
