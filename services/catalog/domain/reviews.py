"""A review before and after its author or an administrator changes it."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.card_numbers import contains_card_number
from contracts.catalog import CreateReview, ReplaceReview, Review, ReviewStatus
from contracts.failure import FieldError, NotFound, PreconditionFailed
from contracts.identity import Identity
from contracts.payment import CardNumberRefused


@dataclass(frozen=True, slots=True)
class ReviewRecord:
    """A stored review. Its version grows with each change of it."""

    review: Review
    version: int = 1

    def changed(self, **fields: Any) -> "ReviewRecord":
        """The next version, with these fields."""
        return replace(self, review=self.review.model_copy(update=fields), version=self.version + 1)


def new_review(body: CreateReview, review_id: UUID, user_id: UUID, order_id: UUID, now: datetime) -> ReviewRecord:
    """The review of a request. It is shown once an administrator has published it."""
    review = Review(
        id=review_id,
        product_id=body.id,
        rating=body.rating,
        title=body.title,
        body=body.body,
        verified=True,
        answer=None,
        created_at=now,
        updated_at=now,
        user_id=user_id,
        order_id=order_id,
        status=ReviewStatus.PENDING,
        reason=None,
    )
    return ReviewRecord(review)


def replaced(before: ReviewRecord, body: ReplaceReview, now: datetime) -> ReviewRecord:
    """The review as its author has changed it. That text is not checked yet, so it is pending again."""
    return before.changed(
        rating=body.rating,
        title=body.title,
        body=body.body,
        status=ReviewStatus.PENDING,
        reason=None,
        updated_at=now,
    )


def require_author(record: ReviewRecord | None, identity: Identity) -> ReviewRecord:
    """Returns the review; raises `NotFound` for a review of another customer."""
    if record is None or record.review.user_id != identity.user_id:
        raise NotFound
    return record


def require_version(record: ReviewRecord, if_match: frozenset[int] | None) -> None:
    """Raises `PreconditionFailed` when the client has read another version of the review."""
    if if_match is not None and record.version not in if_match:
        raise PreconditionFailed


def refuse_card_numbers(**texts: str) -> None:
    """Raises `CardNumberRefused` when one of the fields contains a card number, before anything stores it."""
    detail = "This contains a card number. Remove it."
    errors = [
        FieldError(pointer=f"/{name}", detail=detail) for name, text in texts.items() if contains_card_number(text)
    ]
    if errors:
        raise CardNumberRefused(errors=errors)
