"""The rating of a product: what a review adds to it, and the shop's average that products are compared with."""

from dataclasses import dataclass
from uuid import UUID

from contracts.catalog import Review, ReviewStatus

PRIOR_STEP = 0.05
"""Stars by which the shop's average may differ from the prior in use."""


@dataclass(frozen=True, slots=True)
class RatingChange:
    """What is added to the sum and the count of the published ratings of a product."""

    product_id: UUID
    sum: int
    count: int


def rating_change(before: Review, after: Review | None) -> RatingChange:
    """What a change of a review, or its deletion, adds to the rating of its product."""
    old, new = _counted(before), _counted(after)
    return RatingChange(before.product_id, sum(new) - sum(old), len(new) - len(old))


def _counted(review: Review | None) -> tuple[int, ...]:
    if review is None or review.status is not ReviewStatus.PUBLISHED:
        return ()
    return (review.rating,)


def move_prior(prior: float, rating_sum: int, rating_count: int) -> float:
    """The prior for these sums of the shop: the one in use while it is near the average, else the average itself."""
    average = rating_sum / rating_count if rating_count else 0.0
    return prior if abs(average - prior) < PRIOR_STEP else average
