"""The lowest price before a reduction, which EU law requires beside an announced reduction (directive 98/6/EC, 6a).

The prior price is the lowest of those in force within 30 days before the reduction, among them the one that was in
force when those days began. A further reduction without a rise between keeps the days of the first one. Times at which
the variant was not on sale have no price, so one that is younger than 30 days counts from its first offer.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

PRIOR_TIME = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class PricePoint:
    """The price in force from a time on, in minor units; None if the variant was not on sale."""

    starts_at: datetime
    amount: int | None


@dataclass(frozen=True, slots=True)
class PriceRevision:
    """The prices that were planned at a time, from then on. The next revision replaces them."""

    recorded_at: datetime
    points: tuple[PricePoint, ...]


def points_in_force(revisions: Sequence[PriceRevision], until: datetime) -> list[PricePoint]:
    """What was in force until before a time, from the revisions in their order."""
    ends = [*(revision.recorded_at for revision in revisions), until][1:]
    return merge_points(
        [
            PricePoint(max(start.starts_at, revision.recorded_at), start.amount)
            for revision, end in zip(revisions, ends, strict=True)
            for start, following in pairwise([*revision.points, None])
            if start is not None
            and start.starts_at < min(end, until)
            and (following is None or following.starts_at > revision.recorded_at)
        ]
    )


def merge_points(points: Sequence[PricePoint]) -> list[PricePoint]:
    """The points at which the price changes."""
    merged: list[PricePoint] = []
    for point in points:
        if not merged or merged[-1].amount != point.amount:
            merged.append(point)
    return merged


def prior_price(points: Sequence[PricePoint], at: datetime) -> int | None:
    """The prior price of the one in force at that time; None if that price is not a reduction, or nothing was before.

    It may be at most the price itself, after a short rise: then there is no reduction to announce.
    """
    current = bisect_right(points, at, key=lambda point: point.starts_at) - 1
    first = _first_reduction(points, current)
    if first is None:
        return None
    reduced_at = points[first].starts_at
    begins_at = reduced_at - PRIOR_TIME
    ends = [point.starts_at for point in points[1 : first + 1]]
    return min(
        (
            point.amount
            for point, ends_at in zip(points[:first], ends, strict=True)
            if point.amount is not None and ends_at > begins_at
        ),
        default=None,
    )


def _first_reduction(points: Sequence[PricePoint], current: int) -> int | None:
    """The first of the reductions that led to the current price without a rise between them.

    A price after a time off sale is compared with the last one before it; the reductions before that time have ended.
    """
    first = None
    for index in range(current, 0, -1):
        amount, before = points[index].amount, points[index - 1].amount
        if amount is None:
            break
        if before is None:
            return index if _is_below_last_offer(points, index) else first
        if before < amount:
            break
        first = index
    return first


def _is_below_last_offer(points: Sequence[PricePoint], index: int) -> bool:
    """Whether a price after a time off sale is lower than the last one before it."""
    amount = points[index].amount
    last = next((point.amount for point in reversed(points[:index]) if point.amount is not None), None)
    return amount is not None and last is not None and amount < last
