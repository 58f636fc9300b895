"""Reviews: what customers think of products that they have bought, once an administrator has published it."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.catalog.products import ProductRating
from contracts.failure import Fail
from contracts.model import (
    VISIBLE,
    Cursor,
    Id,
    Model,
    MultilineText,
    NonEmptyLine,
    PageParams,
    SingleLine,
    Timestamp,
)

ReviewTitle = Annotated[
    SingleLine,
    StringConstraints(max_length=150, strip_whitespace=True),
    Field(description="The review in a few words."),
]
ReviewText = Annotated[
    MultilineText, StringConstraints(max_length=5_000), Field(description="Plain text. Escape it where HTML is shown.")
]
Stars = Annotated[int, Field(ge=1, le=5, description="1 to 5 stars.")]


class NotPurchased(Fail, status=HTTPStatus.FORBIDDEN, code="not_purchased"):
    """Only customers with a paid order of this product may review it."""


class AlreadyReviewed(Fail, status=HTTPStatus.CONFLICT, code="already_reviewed"):
    """You have reviewed this product already."""


class ReviewStatus(StrEnum):
    """How far the moderation of a review has come."""

    PENDING = "pending"
    PUBLISHED = "published"
    REJECTED = "rejected"


class PublishedReview(Model):
    """A review as everyone sees it."""

    id: Id
    product_id: Annotated[Id, Field(description="The product's id.")]
    rating: Stars
    title: ReviewTitle
    body: ReviewText
    verified: Annotated[bool, Field(description="Whether its author has bought the product, as all authors must.")]
    answer: Annotated[ReviewText | None, Field(description="What the shop answers.")]
    created_at: Timestamp
    updated_at: Annotated[Timestamp, Field(description="When its author last changed it.")]


class Review(PublishedReview):
    """A review as its author and administrators see it."""

    user_id: Annotated[Id | None, Field(description="The account of its author; null once that is erased.")]
    order_id: Annotated[Id, Field(description="The order by which its author has bought the product.")]
    status: Annotated[ReviewStatus, Field(description="Only published reviews are shown and counted.")]
    reason: Annotated[SingleLine | None, Field(description="Why it was rejected.")]


class ListProductReviews(PageParams):
    """Names the product whose published reviews to list."""

    id: Annotated[Id, Field(description="The product's id.")]


class ProductReviewList(Model):
    """One page of the published reviews of a product, with its rating."""

    items: Annotated[list[PublishedReview], Field(description="The items of this page, the newest first.")]
    next: Annotated[
        Cursor | None, Field(description="Pass this as `after` to get the next page; null on the last page.")
    ] = None
    rating: ProductRating


class ListReviews(PageParams):
    """Filters of a list of reviews."""

    status: Annotated[ReviewStatus | None, Field(description="Only reviews with this status.")] = None


class CreateReview(Model):
    """A review of a product."""

    id: Annotated[Id, Field(description="The product's id.")]
    rating: Stars
    title: ReviewTitle = ""
    body: ReviewText = ""


class ReplaceReview(CreateReview):
    """The new fields of a review."""

    id: Id


class ReviewRef(Model):
    """Names a review."""

    id: Id


class RejectReview(Model):
    """Why a review is not published."""

    id: Id
    reason: Annotated[
        NonEmptyLine,
        StringConstraints(max_length=200),
        VISIBLE,
        Field(description="The reason, which its author sees."),
    ]


class AnswerReview(Model):
    """What the shop answers to a review."""

    id: Id
    answer: Annotated[ReviewText, Field(description="The answer in plain text; an empty one removes it.")]
