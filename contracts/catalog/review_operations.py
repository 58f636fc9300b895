"""The operations on reviews."""

from contracts.catalog.reviews import (
    AlreadyReviewed,
    AnswerReview,
    CreateReview,
    ListProductReviews,
    ListReviews,
    NotPurchased,
    ProductReviewList,
    RejectReview,
    ReplaceReview,
    Review,
    ReviewRef,
)
from contracts.catalog.types import SERVICE
from contracts.failure import InvalidCursor, NotFound, PreconditionFailed
from contracts.identity import Access
from contracts.model import Empty, ListPage
from contracts.operation import Operation, OwnedResource
from contracts.payment import CardNumberRefused

OWN_REVIEWS, OWN_REVIEW = (OwnedResource("reviews"),), (OwnedResource("review", id_field="id"),)

LIST_PRODUCT_REVIEWS = Operation(
    SERVICE,
    "list_product_reviews",
    ListProductReviews,
    ProductReviewList,
    "List the published reviews of a product",
    Access.ANYONE,
    (NotFound, InvalidCursor),
)
CREATE_REVIEW = Operation(
    SERVICE,
    "create_review",
    CreateReview,
    Review,
    "Review a product",
    Access.CUSTOMER,
    (NotFound, NotPurchased, AlreadyReviewed, CardNumberRefused),
    writes=True,
    owned_resources=OWN_REVIEWS,
)
LIST_REVIEWS = Operation(
    SERVICE, "list_reviews", ListReviews, ListPage[Review], "List reviews", Access.ADMIN, (InvalidCursor,)
)
GET_REVIEW = Operation(
    SERVICE,
    "get_review",
    ReviewRef,
    Review,
    "Read a review",
    Access.CUSTOMER,
    (NotFound,),
    owned_resources=(OwnedResource("review", id_field="id", open_to_admins=True),),
)
REPLACE_REVIEW = Operation(
    SERVICE,
    "replace_review",
    ReplaceReview,
    Review,
    "Replace one's own review, which has to be published again",
    Access.CUSTOMER,
    (NotFound, PreconditionFailed, CardNumberRefused),
    writes=True,
    owned_resources=OWN_REVIEW,
)
DELETE_REVIEW = Operation(
    SERVICE,
    "delete_review",
    ReviewRef,
    Empty,
    "Delete one's own review",
    Access.CUSTOMER,
    (NotFound, PreconditionFailed),
    writes=True,
    owned_resources=OWN_REVIEW,
)
PUBLISH_REVIEW = Operation(
    SERVICE,
    "publish_review",
    ReviewRef,
    Review,
    "Publish a review",
    Access.ADMIN,
    (NotFound, PreconditionFailed),
    writes=True,
)
REJECT_REVIEW = Operation(
    SERVICE,
    "reject_review",
    RejectReview,
    Review,
    "Reject a review",
    Access.ADMIN,
    (NotFound, PreconditionFailed),
    writes=True,
)
ANSWER_REVIEW = Operation(
    SERVICE,
    "answer_review",
    AnswerReview,
    Review,
    "Answer a review in public",
    Access.ADMIN,
    (NotFound, PreconditionFailed, CardNumberRefused),
    writes=True,
)

REVIEW_OPERATIONS = (
    LIST_PRODUCT_REVIEWS,
    CREATE_REVIEW,
    LIST_REVIEWS,
    GET_REVIEW,
    REPLACE_REVIEW,
    DELETE_REVIEW,
    PUBLISH_REVIEW,
    REJECT_REVIEW,
    ANSWER_REVIEW,
)
